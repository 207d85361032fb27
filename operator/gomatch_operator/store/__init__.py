"""What the operator enters in PostgreSQL: the claim, the definition, requested states."""

from gomatch_operator.store.connection import ClaimsSource
from gomatch_operator.store.reconciler import StoreReconciler, Wanted, store_fault

__all__ = ["ClaimsSource", "StoreReconciler", "Wanted", "store_fault"]

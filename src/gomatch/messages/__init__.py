"""The wire: compact forms, protobuf and the conversions between them."""

from gomatch.settings import Settings
from gomatch_matcher.main import run

if __name__ == "__main__":
    run(Settings())

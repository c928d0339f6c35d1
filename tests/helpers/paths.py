"""Where things of the repository are."""

from pathlib import Path

HELPERS = Path(__file__).parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
RECIPES = ROOT / "sql" / "recipes"
ORDER_VECTORS = TESTS / "vectors" / "order_v1.json"
EXPONENTIAL_VECTORS = TESTS / "vectors" / "exponential_v1.json"

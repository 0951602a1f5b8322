"""Which REST side a Kraken market has."""

from venues.interface import RestApi
from venues.kraken.rest_derivatives import DerivativesRest
from venues.kraken.rest_spot import SpotRest


def rest_api(derivatives: bool, symbols: list[str], key: str, secret: str) -> RestApi:
    """Spot (api.kraken.com) or Derivatives (futures.kraken.com) REST; SecretError when the secret is not base64."""
    return DerivativesRest(key, secret) if derivatives else SpotRest(symbols, key, secret)

"""Gemini's rate limits as data: a throttle of messages whose figure is not documented, and REST's."""

from venues.gemini.settings import Settings
from venues.limits import FREE, Limit, RateLimits, Refusal

_THROTTLED = Refusal(text="Message rate exceeded")
_TOO_MANY = (Refusal(text="RateLimit"), Refusal(text="Too Many Requests"))


def rate_limits(settings: Settings) -> RateLimits:
    """Order entry: option messages_per_s, a careful guess. REST: 600 a minute a key, 5 a second and a queue of 5."""
    most = settings.messages_per_s
    messages = Limit(
        name="messages", most=most, per_s=1, costs={"swept": FREE}, reserve=most // 4, spare=1, cancels_wait=True,
        refusals=(_THROTTLED,), source="a throttle exists, its figure is not documented: a careful guess",
    )  # fmt: skip
    minute = Limit(
        name="rest", most=600, per_s=60, scope="key", reserve=100, spare=10, refusals=_TOO_MANY,
        source="private REST, 600/min a key",
    )  # fmt: skip
    burst = Limit(
        name="rest_burst", most=10, per_s=1, scope="key", reserve=3, spare=1, refusals=_TOO_MANY,
        source="private REST, 5/s advised, 5 more are queued",
    )  # fmt: skip
    return RateLimits(orders=(messages, *settings.rate_limits), rest=(minute, burst))

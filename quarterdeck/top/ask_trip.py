"""The questions before a trip: why, and the scope typed once more. Nothing is sent before the last answer. Pure."""

from collections.abc import Sequence

from rich.text import Text

from quarterdeck.top.details import wrapped


class TripQuestions:
    """One trip that somebody thinks of. `lines` of the plan are shown first."""

    def __init__(self, scope: str, plan: Sequence[str]) -> None:
        self.scope = scope
        self._plan = tuple(plan)
        self.reason = ""
        self._typed = ""
        self._asked = 0  # 0: the reason, 1: the confirmation
        self._said = ""

    def key(self, key: str) -> str:
        """Take a key: "" goes on, "left" nothing happens, "trip" it was confirmed."""
        if key in ("esc", "ctrl-c"):
            return "left"
        if key == "enter":
            return self._enter()
        text = self.reason if self._asked == 0 else self._typed
        text = text[:-1] if key == "backspace" else text + key if len(key) == 1 and key.isprintable() else text
        if self._asked == 0:
            self.reason = text
        else:
            self._typed = text
        self._said = ""
        return ""

    def lines(self, width: int, height: int) -> list[Text]:
        """What is asked stands at the end, and is never cut off; the plan has what room is left."""
        asks = [
            Text(""),
            Text.assemble(("  reason  ", "bold"), self.reason, ("_" if self._asked == 0 else "", "blink")),
        ]
        if self._asked == 1:
            asks.append(
                Text.assemble((f"  type {self.scope} to trip it  ", "bold red"), self._typed, ("_", "blink"))
            )  # fmt: skip
        asks.append(Text(f"  {self._said}", style="bold yellow"))
        asks.append(Text("  enter goes on, esc leaves; nothing is sent before the scope is typed", style="dim"))
        head = [Text(f"  TRIP {self.scope}?", style="bold red")]
        plan = [line for text in self._plan for line in wrapped("", text, width)]
        room = max(0, height - len(head) - len(asks))
        if len(plan) > room:
            plan = [*plan[: max(0, room - 1)], Text("  ... enter on the scope shows all of the plan", style="dim")][
                :room
            ]
        return [*head, *plan, *asks][-height:]

    def _enter(self) -> str:
        if self._asked == 0:
            if not self.reason.strip():
                self._said = "a reason is needed: it stays on record"
                return ""
            self._asked = 1
            return ""
        if self._typed.strip() != self.scope:
            self._said, self._typed = f"that is not {self.scope}: nothing was sent", ""
            return ""
        return "trip"

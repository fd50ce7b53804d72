"""What a command can't do, as one sentence for its user; `main` prints it and exits with the code it carries."""


class CommandError(Exception):
    """The command failed; its text is one clear sentence.

    Attributes:
        details: lines that show why (a server's last words), printed under the sentence.
        exit_code: 1 for what went wrong, 2 for what was asked wrongly.
    """

    def __init__(self, sentence: str, details: tuple[str, ...] = (), exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.details = details
        self.exit_code = exit_code

"""The last words of a frozen guest: type and message of an exception, and where it passed through the runtime.

``traceback`` reads source files, which a guest has none of; the sources are kept instead, since they were given
to the VM anyway. Bounded, because messages quote hostile input.
"""

SOURCES: dict[str, bytes] = {}
"""Text of the runtime's modules by file name; lines without code may be empty."""

MAX_NAME = 100
MAX_MESSAGE = 400
MAX_FRAMES = 12


def report(error: BaseException) -> str:
    """First line ``Type: message``, then the frames in the runtime's own source, the innermost last."""
    name, message = name_of(type(error)), message_of(error)
    head = f"{name}: {message}" if message else name
    frames: list[tuple[str, int | None, str]] = []
    position = error.__traceback__
    while position is not None:
        code = position.tb_frame.f_code
        if code.co_filename in SOURCES:
            frames.append((code.co_filename, position.tb_lineno, code.co_qualname))
        position = position.tb_next
    lines = [head]
    if len(frames) > MAX_FRAMES:
        lines.append(f"  … {len(frames) - MAX_FRAMES} frames")
    for file, number, function in frames[-MAX_FRAMES:]:
        text = SOURCES[file].decode().splitlines()
        lines.append(f"  {file}:{number} in {function[:MAX_NAME]}")
        if number is not None and 0 < number <= len(text):
            lines.append(f"    {text[number - 1].strip()[:120]}")
    return "\n".join(lines)


def name_of(kind: type[BaseException]) -> str:
    """As the class statement gives it, whatever the class makes of the attribute."""
    name: str = type.__dict__["__name__"].__get__(kind)
    return name[:MAX_NAME]


def message_of(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception as problem:  # the exception's own __str__
        return f"(its message could not be had: {name_of(type(problem))})"

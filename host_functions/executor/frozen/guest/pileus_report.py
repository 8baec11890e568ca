"""The last words of a frozen guest: type and message of an exception, and where it passed through the runtime.

``traceback`` reads source files, which a guest has none of; the sources are kept instead, since they were given
to the VM anyway. Bounded, because messages quote hostile input.
"""

SOURCES: dict[str, str] = {}
"""Text of the runtime's modules by file name."""

MAX_MESSAGE = 400
MAX_FRAMES = 12


def report(error: BaseException) -> str:
    """First line ``Type: message``, then the frames in the runtime's own source, the innermost last."""
    message = str(error)
    head = f"{type(error).__name__}: {message[:MAX_MESSAGE]}" if message else type(error).__name__
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
    for file, number, name in frames[-MAX_FRAMES:]:
        text = SOURCES[file].splitlines()
        lines.append(f"  {file}:{number} in {name}")
        if number is not None and 0 < number <= len(text):
            lines.append(f"    {text[number - 1].strip()[:120]}")
    return "\n".join(lines)

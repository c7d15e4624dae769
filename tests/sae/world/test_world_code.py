import subprocess
import sys
from random import Random

from sae.world.code import draw_program, program_pieces
from sae.world.text import render


def test_programs_say_what_python_says():
    rng = Random(0)
    programs = [draw_program(rng, frozenset()) for _ in range(60)]
    sessions = [render(program_pieces(program), "py")[0] for program in programs]
    for program, session in zip(programs[:12], sessions, strict=False):
        assert _run(session) == _shown(session), (program, session)


def test_errors_and_misleading_names_occur_and_carry_their_concepts():
    rng = Random(1)
    programs = [draw_program(rng, frozenset()) for _ in range(300)]
    assert {program.error for program in programs} == {None, "name_error", "syntax_error", "division_by_zero"}
    assert any(program.is_misleading for program in programs)
    for program in programs:
        concepts = {piece.concept for piece in program_pieces(program) if piece.concept}
        assert f"code:{program.operation}" in concepts
        assert program.error is None or f"code:{program.error}" in concepts


def test_held_out_sums_are_never_drawn():
    held_out = frozenset({(2, 3), (4, 4)})
    rng = Random(2)
    for _ in range(500):
        program = draw_program(rng, held_out)
        assert program.operation != "addition" or not held_out & set(program.calls)


def _shown(session: str) -> list[str]:
    lines = session.split("\n")
    return [line for line in lines[2:] if not line.startswith(">>> ")]


def _run(session: str) -> list[str]:
    lines = session.split("\n")
    program = "\n".join([*lines[:2], *(f"print({line[4:]})" for line in lines if line.startswith(">>> "))])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    error = [done.stderr.strip().split("\n")[-1].split(":")[0]] if done.returncode else []
    return [*done.stdout.split(), *error]

"""Evaluates a function equation by equation, some of them in another way.

It is written like JAX's own tutorial on custom interpreters of a jaxpr. So a network computed in another
way need not know of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import core

# (equation, its inputs, whether each input is used here only) → its output, or None: as it is.
Rule = Callable[[core.JaxprEqn, list[Any], Sequence[bool]], Any]


def rewritten(
    function: Callable[..., Any], rule: Rule, finish: Callable[[Any], Any] = lambda value: value
) -> Callable[..., Any]:
    """A function in which a rule computes some equations; those of inner programs are left as they are.

    Args:
      function: pure; its arguments are arrays, or nested dicts, tuples and None.
      rule: what it returns is the equation's only output, and may be a value of its own kind, which it
        then gets as an input.
      finish: makes an array of a value that the rule returned, and leaves arrays as they are. Called
        once for each value that something else needs.
    """

    def other(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = _evaluate(closed, jax.tree.leaves(arguments), rule, finish)
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return other


def aval(atom: Any) -> Any:
    """What is known of an equation's input or output: its shape and dtype."""
    return atom.aval


def _evaluate(
    closed: core.ClosedJaxpr, arguments: list[Any], rule: Rule, finish: Callable[[Any], Any]
) -> list[Any]:
    jaxpr = closed.jaxpr
    values: dict[core.Var, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values |= zip(jaxpr.invars, arguments, strict=True)
    read_by = [*(atom for equation in jaxpr.eqns for atom in equation.invars), *jaxpr.outvars]
    uses = Counter(atom for atom in read_by if not isinstance(atom, core.Literal))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    def finished(atom: Any) -> Any:
        if isinstance(atom, core.Literal):
            return atom.val
        values[atom] = finish(values[atom])
        return values[atom]

    for equation in jaxpr.eqns:
        used_here_only = [
            not isinstance(atom, core.Literal) and uses[atom] == 1 for atom in equation.invars
        ]
        output = rule(equation, [read(atom) for atom in equation.invars], used_here_only)
        if output is not None:
            values[equation.outvars[0]] = output
            continue
        primitive = equation.primitive
        inputs = [finished(atom) for atom in equation.invars]
        outputs = primitive.bind(*inputs, **primitive.get_bind_params(equation.params))
        outputs = outputs if primitive.multiple_results else [outputs]
        values |= zip(equation.outvars, outputs, strict=True)
    return [finished(atom) for atom in jaxpr.outvars]

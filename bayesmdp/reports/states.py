"""What a plan says of states that are made of measurements: how many, how many are rare, whether to merge or split."""

from __future__ import annotations

import xarray as xr

__all__ = ["states_told"]

SHOWN = 5
"""Changes that are told of each kind."""


def states_told(tree: xr.DataTree) -> dict[str, str]:
    """Tell how the states do.

    Parameters
    ----------
    tree : DataTree
        Of a `Report`.

    Returns
    -------
    dict of str to str
        Nothing for a plan whose log had states of its own.
    """
    if "states" not in tree:
        return {}
    judged = tree["states"].to_dataset()
    attrs, rare = judged.attrs, judged.isel(state=judged["rare"].values)
    told = {"states": f"{attrs['measured']:,} are made from measurements"}
    if rare.sizes["state"]:
        rarest = rare["state"].values[rare["visits"].values.argsort(kind="stable")][:SHOWN].tolist()
        told["states"] += f"; {rare.sizes['state']:,} of them have fewer than {attrs['few']} recorded actions"
        told["rare"] = "; ".join(rarest) + ("; ..." if rare.sizes["state"] > len(rarest) else "")
    if "told" in attrs:
        told["quantiles"] = attrs["told"]
    for kind, joined in (("merge", "with"), ("split", "at")):
        for verdict, word in (("favoured", "may be"), ("against", "not to be")):
            own = judged.isel(change=(judged["kind"].values == kind) & (judged["verdict"].values == verdict))
            changes = [
                f"{first} {joined} {second} ({odds:+.0f})"
                for first, second, odds in zip(
                    *(own[name].values.tolist() for name in ("first", "second", "log_odds")), strict=True
                )
            ]
            # The surest first.
            changes = changes if verdict == "favoured" else changes[::-1]
            if changes and (verdict == "favoured" or kind == "merge"):
                more = f" and {len(changes) - SHOWN} more" * (len(changes) > SHOWN)
                past = {"merge": "merged", "split": "split"}[kind]
                told[f"{word} {past}"] = "; ".join(changes[:SHOWN]) + f"{more} (log odds in parentheses)"
    if attrs["markov_alarm"]:
        told["too coarse"] = (
            f"the previous step helps to predict the next ({attrs['markov']}): split states, or add a measurement"
        )
    return told

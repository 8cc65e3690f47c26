"""Identities of candidates: equal to the reference over random sequences, and the rules one by one."""

import pytest
import torch

from lib.test.tracker.candidates import IdentityRule, first_identities, lost_scale, next_identities


@pytest.fixture
def reference(shared_data):
    path = shared_data / "parity" / "keep_track.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return torch.load(path, weights_only=True)


def test_identities_equal_reference(reference):
    for sequence in reference["identities"]:
        state = None
        for frame in sequence["frames"]:
            scores = frame["scores"]
            if state is None:
                state = first_identities(scores, sequence["start_certain"])
            else:
                state = next_identities(state, scores, frame["matches"], frame["match_scores"], IdentityRule())
            expected = frame["state"]
            assert dict(enumerate(state.objects)) == expected["object_ids"]
            assert dict(enumerate(state.best)) == pytest.approx(expected["best_scores"])
            assert (state.flag, state.selected, state.candidate, state.certain, state.next_object) == (
                expected["flag"], expected["selected_object"], expected["selected_candidate"], expected["certain"],
                expected["next_object_id"])  # fmt: skip


def test_search_widens_as_in_the_reference(reference):
    for case in reference["search_area_rescaling"]:
        for lost, expected in enumerate(case["target_scale_after_each_lost_frame"], start=1):
            assert lost_scale(case["target_scales"], lost) == pytest.approx(expected, rel=1e-6)


def test_target_keeps_its_name_when_a_distractor_is_brighter():
    state = first_identities([0.9, 0.4], certain=True)
    state = next_identities(state, [0.8, 0.7], [1, 0], [0.9, 0.9], IdentityRule())
    assert (state.selected, state.candidate, state.flag) == (0, 1, "normal")
    # Higher than the target ever was: it is taken for the target.
    state = next_identities(state, [0.95, 0.7], [0, 1], [0.9, 0.9], IdentityRule())
    assert (state.selected, state.candidate) == (1, 0)


def test_lost_target_is_taken_up_again():
    state = first_identities([0.9], certain=True)
    state = next_identities(state, [0.2], [-1], [0.0], IdentityRule())
    assert (state.flag, state.candidate, state.certain) == ("not_found", None, False)
    assert next_identities(state, [], [], [], IdentityRule()).flag == "not_found"
    state = next_identities(state, [0.3], [0], [0.9], IdentityRule())
    assert (state.flag, state.selected) == ("normal", 1)

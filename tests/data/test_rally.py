"""Rendered rallies: flights obey mechanics, positions are exact, and a rally is a function of its generator."""

import dataclasses

import numpy as np
import pytest

from lib.data.render import flight, rally
from lib.data.render.flight import SPORTS, STEPS
from lib.data.render.rally import Rally, rendered_rallies

SMALL = (320, 180)
FREE = dataclasses.replace(SPORTS["tennis"], drag=0.0, spin=0.0)


@pytest.fixture(scope="module")
def rallies():
    return rendered_rallies(4, seed=3, size=SMALL, frames=24)


def fall(sport, velocity, count=100, place=(0.0, 20.0, 40.0), pace=0.01, spin=(0.0, 0.0, 0.0)):
    return flight._integrate(np.array(place), np.array(velocity), np.array(spin), sport, count, pace)


def test_without_air_the_flight_is_a_parabola():
    time = 0.01 * np.arange(100)
    path = fall(FREE, (3.0, 0.0, 5.0))
    assert path[:, 0] == pytest.approx(3 * time) and path[:, 2] == pytest.approx(40 + 5 * time - 9.81 / 2 * time**2)


def test_a_shuttlecock_falls_at_its_terminal_speed():
    path = fall(SPORTS["badminton"], (0.0, 0.0, 0.0), 400)
    assert (path[-2, 2] - path[-1, 2]) / 0.01 == pytest.approx((9.81 / SPORTS["badminton"].drag) ** 0.5, rel=0.01)
    assert (9.81 / SPORTS["badminton"].drag) ** 0.5 == pytest.approx(6.8, abs=0.1)  # m/s, as measured in tunnels


def test_spin_bends_the_flight():
    straight, bent = (fall(SPORTS["tennis"], (30.0, 0.0, 0.0), spin=(0, 0, spin)) for spin in (0.0, 0.5))
    assert straight[-1, 1] == 20 and abs(bent[-1, 1] - 20) > 1
    down = fall(SPORTS["tennis"], (30.0, 0.0, 0.0), spin=(0, 0.5, 0))
    assert down[-1, 2] < straight[-1, 2] - 1  # topspin


def test_a_bounce_takes_speed():
    path = fall(FREE, (0.0, 0.0, 0.0), 150, place=(0, 0, 2.0))
    assert path[:, 2].min() >= FREE.diameter / 2 - 1e-9
    after = path[70:, 2].max() - FREE.diameter / 2
    assert after == pytest.approx(2 * FREE.bounce**2, rel=0.1)


@pytest.mark.parametrize("sport", SPORTS)
def test_a_shot_reaches_its_end(sport):
    kind = SPORTS[sport]
    length = kind.court[0]
    end, start = np.array([0.3 * length, 0.5, 1.0]), np.array([-0.3 * length, -0.5, 1.5])
    steps, pace = int(0.9 / 0.004), 0.004
    velocity = flight._aim(start, end, np.zeros(3), kind, steps, pace)
    reached = flight._integrate(start, velocity, np.zeros(3), kind, steps + 1, pace, bounces=False)[-1]
    assert np.linalg.norm(reached - end) < 0.03 * length


@pytest.mark.parametrize("sport", SPORTS)
def test_a_rally_flies_without_jumps(sport):
    for seed in range(4):
        played = flight.fly(np.random.default_rng(seed), SPORTS[sport], 60, 30.0)
        places = played.places[np.isfinite(played.places[:, 0])]
        assert len(played.places) == 60 * STEPS + 1 and len(places) > 30 * STEPS
        assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() < 95 / (30 * STEPS)  # 95 m/s
        assert np.isfinite(played.places[-1]).all() and places[:, 2].min() > 0


def test_the_same_generator_gives_the_same_rally_in_any_order_of_frames():
    one, two = (Rally(np.random.default_rng(7), "tennis", SMALL, 12) for _ in range(2))
    assert np.array_equal(one.points, two.points, equal_nan=True) and np.array_equal(one.visible, two.visible)
    forward = [one[i] for i in range(4)]
    assert all(np.array_equal(two[i], forward[i]) for i in reversed(range(4)))
    assert not np.array_equal(Rally(np.random.default_rng(8), "tennis", SMALL, 12)[3], forward[3])


def test_the_first_rallies_do_not_depend_on_how_many_there_are(rallies):
    few = rendered_rallies(2, seed=3, size=SMALL, frames=24)
    assert [each.name for each in few] == [each.name for each in rallies[:2]]
    assert np.array_equal(few[1].points, rallies[1].points, equal_nan=True)
    assert {each.sport for each in rallies} == set(SPORTS)


def test_frames_and_truth_have_their_shapes(rallies):
    for each in rallies:
        frame = each[-1]
        assert frame.shape == (180, 320, 3) and frame.dtype == np.uint8 and frame.flags.writeable
        assert np.array_equal(np.isfinite(each.points).all(axis=1), each.visible)
        seen = each.visible
        assert (each.points[seen] >= 0).all() and (each.points[seen] < SMALL).all()
        centres = each.boxes_xywh[:, :2] + each.boxes_xywh[:, 2:] / 2
        assert centres[seen] == pytest.approx(each.points[seen]) and np.isnan(each.boxes_xywh[~seen]).all()
        with pytest.raises(IndexError):
            each[24]


def test_the_light_of_the_ball_lies_about_its_point():
    """The centre of mass of a streak is the mid-exposure position, up to what speed changes during the exposure."""
    for seed, sport in enumerate(("tennis", "table_tennis", "volleyball")):
        each = Rally(np.random.default_rng(seed), sport, (640, 360), 16)
        each._exposure = 0.05
        for i in np.flatnonzero(each.visible):
            (left, top), alpha = each._streak(i)
            rows, columns = np.indices(alpha.shape) + 0.5
            centre = np.array([(columns * alpha).sum(), (rows * alpha).sum()]) / alpha.sum() + (left, top)
            if (centre > 8).all() and (centre < np.subtract(each._wide, 8)).all():
                assert centre - each._pan[i] == pytest.approx(each.points[i], abs=0.05)


def test_the_streak_grows_with_the_exposure_and_keeps_its_light():
    each = Rally(np.random.default_rng(4), "tennis", (1280, 720), 12)
    i = int(np.nanargmax(np.where(each.visible, each.streaks, np.nan)))
    sizes, light = [], []
    for exposure in (0.1, 0.9):
        each._exposure = exposure
        _, alpha = each._streak(i)
        sizes.append(max(alpha.shape))
        light.append(alpha.sum())
    assert sizes[1] > sizes[0] and light[1] == pytest.approx(light[0], rel=0.1)


def test_a_ball_that_counts_as_seen_is_in_the_picture_and_one_behind_the_scores_is_not(monkeypatch):
    monkeypatch.setattr(Rally, "_record", lambda self, image, rng: image)
    hidden = 0
    for seed in range(3):
        each = Rally(np.random.default_rng(seed), "volleyball", SMALL, 16)
        with_ball = [each[i].astype(int) for i in range(16)]
        monkeypatch.setattr(Rally, "_draw_ball", lambda *_: None)
        change = [np.abs(each[i] - with_ball[i]).sum(axis=2) for i in range(16)]
        monkeypatch.undo()
        monkeypatch.setattr(Rally, "_record", lambda self, image, rng: image)
        for i in range(16):
            if not each.visible[i]:
                hidden += 1
                continue
            x, y = each.points[i]
            reach = int(each.sides[i] + each.streaks[i]) + 4
            near = np.s_[max(int(y) - reach, 0) : int(y) + reach, max(int(x) - reach, 0) : int(x) + reach]
            assert change[i][near].sum() > 0 and change[i].sum() == change[i][near].sum()
    assert hidden > 0


def test_balls_leave_and_come_back_and_some_are_tiny():
    gone, sides = 0, []
    for each in rendered_rallies(8, seed=5, size=(480, 270), frames=40):
        seen = np.flatnonzero(each.visible)
        gone += len(seen) > 0 and not each.visible[seen[0] : seen[-1]].all()
        sides.append(4 * np.nanmin(each.sides))  # px of 1920x1080
    assert gone >= 1 and 2.5 < min(sides) < 5 and max(sides) < 60


def test_a_ball_that_is_too_faint_counts_as_not_seen():
    each = Rally(np.random.default_rng(4), "tennis", (1280, 720), 12)
    assert min(each._contrast(i) for i in np.flatnonzero(each.visible)) >= rally.FAINT
    each._exposure, each._blur = 0.95, 9.0  # px
    each._truth(12)
    assert not each.visible.any()


def test_a_figure_in_front_covers_the_ball():
    each = Rally(np.random.default_rng(1), "volleyball", SMALL, 24)
    places = each._flight.places[STEPS // 2 :: STEPS]
    away = each.visible & each._near & (np.abs(places[:, 0]) > 2)  # on the camera's side of the net
    i = int(np.flatnonzero(away)[0])
    figure, place = each._players[0], places[i].copy()
    toward = 0.08 * (each._camera.place - place)
    each._players, figure.strokes = [figure], []
    each._flight.places[:, 2] += (
        1.25 * figure.tall - toward[2] - place[2]
    )  # at the height of its chest, seen from there
    figure.path = np.tile(place[:2] - toward[:2], (24, 1))
    assert each._covered(i) < rally.HIDDEN
    figure.path = np.tile(place[:2] + toward[:2], (24, 1))
    assert each._covered(i) > rally.HIDDEN

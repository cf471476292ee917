use super::*;

/// Turn, node and mark of all that happens, in order; `then` may schedule more.
fn play(
    wheel: &mut Wheel,
    mut then: impl FnMut(&mut Wheel, Turn, u32, u32),
) -> Vec<(u64, u32, u32)> {
    let mut order = Vec::new();
    let (mut all, mut whats) = (Vec::new(), Vec::new());
    while wheel.advance(&mut all).is_some() {
        for inbox in all.chunk_by(|one, other| one.node() == other.node()) {
            let (node, mut rest) = (inbox[0].node(), inbox);
            while let Some(turn) = wheel.next_turn(node, &mut rest, &mut whats) {
                for what in &whats {
                    let What::Verified(mark) = *what else {
                        panic!("not scheduled here")
                    };
                    order.push((turn.0, node, mark));
                    then(wheel, turn, node, mark);
                }
            }
        }
    }
    order
}

fn order(wheel: &mut Wheel) -> Vec<(u64, u32, u32)> {
    play(wheel, |_, _, _, _| {})
}

#[test]
fn window_by_window_then_node_by_node_then_turn_by_turn_then_in_order_of_scheduling() {
    for nodes in [3, 1_000] {
        let mut wheel = Wheel::new(nodes, TURN * 4);
        let far = SPOKES as u64 * 4 * 3;
        for (turn, node, mark) in [
            (far, 1, 9),
            (6, 2, 1),
            (5, 0, 2),
            (1, 0, 3),
            (5, 2, 4),
            (far + 1, 0, 5),
            (5, 0, 6),
        ] {
            wheel.schedule(Turn(turn), node, What::Verified(mark));
        }
        let want = [
            (1, 0, 3),
            (5, 0, 2),
            (5, 0, 6),
            (5, 2, 4),
            (6, 2, 1),
            (far + 1, 0, 5),
            (far, 1, 9),
        ];
        assert_eq!(order(&mut wheel), want);
    }
}

#[test]
fn what_a_node_schedules_for_itself_happens_in_the_same_window() {
    let mut wheel = Wheel::new(2, TURN * 4);
    wheel.schedule(Turn(0), 0, What::Verified(1));
    wheel.schedule(Turn(2), 0, What::Verified(2));
    wheel.schedule(Turn(0), 1, What::Verified(3));
    let order = play(&mut wheel, |wheel, turn, node, mark| {
        if mark == 1 {
            for ahead in [1, 2, 4] {
                let turn = Turn(turn.0 + ahead);
                wheel.schedule(turn, node, What::Verified(10));
            }
        }
    });
    let want = [
        (0, 0, 1),
        (1, 0, 10),
        (2, 0, 2),
        (2, 0, 10),
        (0, 1, 3),
        (4, 0, 10),
    ];
    assert_eq!(order, want);
}

#[test]
#[should_panic(expected = "nobody hears of others in the same window")]
fn what_a_node_does_reaches_no_other_in_the_same_window() {
    let mut wheel = Wheel::new(2, TURN * 4);
    wheel.schedule(Turn(0), 0, What::Verified(1));
    play(&mut wheel, |wheel, turn, _, _| {
        wheel.schedule(turn.next(), 1, What::Verified(2));
    });
}

#[test]
fn a_window_is_as_long_as_the_least_delay_but_for_its_limits() {
    for (delay, turns) in [(0, 1), (400, 1), (500, 1), (1_700, 3), (50_000, 20)] {
        let wheel = Wheel::new(2, Duration::from_micros(delay));
        assert_eq!(wheel.window(), TURN * turns, "{delay} µs");
    }
}

#[test]
fn what_waited_beside_the_wheel_comes_before_what_was_scheduled_later() {
    let mut wheel = Wheel::new(1, Duration::ZERO);
    let far = SPOKES as u64 + 10;
    wheel.schedule(Turn(far), 0, What::Verified(1));
    wheel.schedule(Turn(20), 0, What::Verified(2));
    let order = play(&mut wheel, |wheel, _, node, mark| {
        if mark == 2 {
            wheel.schedule(Turn(far), node, What::Verified(3));
        }
    });
    assert_eq!(order, [(20, 0, 2), (far, 0, 1), (far, 0, 3)]);
}

#[test]
fn a_turn_ends_at_or_after_the_moments_that_fall_into_it() {
    for at in [0, 1, 499_999, 500_000, 500_001] {
        let at = Time::from_nanos(at);
        assert!(Turn::of(at).time() >= at);
        assert!(Turn::of(at).time() - at < TURN);
    }
}

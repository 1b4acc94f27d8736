//! Programs of accounts that have had more than their part: a container of their own, a queue of their own.

use super::*;

fn low(stack_class: u32) -> Request {
    Request::Start(Start { low: true, stack_class, ..Start::default() })
}

fn full_with_low(size: usize) -> Scene {
    let mut scene = Scene::full(size);
    scene.pool.has_low = true;
    scene
}

/// The number of the container that was asked for.
fn started(actions: &[Action]) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::StartContainer(number, Trade::Low) => Some(*number),
        _ => None,
    })
}

#[test]
fn the_first_one_waits_for_a_container_of_its_own_and_leaves_the_others_their_children() {
    let mut scene = full_with_low(2);
    let actions = scene.event(Event::Asked(1, low(0)));
    let number = started(&actions).expect("a container");
    assert_eq!((forwarded(&actions, 1), scene.ready()), (None, 2));
    scene.event(Event::Standing(number));
    let classes: Vec<Class> = scene.asked.iter().map(|(_, _, class)| *class).collect();
    assert_eq!(classes, [Class::LowSmall; 2], "one to use, one to have");
    scene.prepare_all();
    assert!(forwarded(&scene.done, 1).is_some());
    assert_eq!(scene.ready(), 2);
}

#[test]
fn a_thousand_that_wait_low_keep_nobody_else_waiting() {
    let mut scene = full_with_low(2);
    for id in 0..1000 {
        scene.event(Event::Asked(id, low(id % 2)));
    }
    scene.start(5000, small(0));
    assert_eq!(scene.done.iter().filter(|action| matches!(action, Action::StartContainer(_, Trade::Low))).count(), 1);
}

#[test]
fn where_there_is_no_share_of_the_processors_it_is_a_program_as_any_other() {
    let mut scene = Scene::full(2);
    scene.start(1, low(0));
    assert_eq!(scene.ready(), 1);
}

#[test]
fn large_stacks_are_prepared_when_they_are_asked_for() {
    let mut scene = full_with_low(1);
    let number = started(&scene.event(Event::Asked(1, low(1)))).expect("a container");
    scene.event(Event::Standing(number));
    assert_eq!(scene.asked.iter().filter(|(_, _, class)| *class == Class::LowLarge).count(), 1);
    let other = low(9);
    assert_eq!(scene.event(Event::Asked(2, other)), [Action::Refuse(2, Reason::NoStackClass, 0)]);
}

#[test]
fn its_container_is_replaced_when_it_is_lost_and_given_up_alone() {
    let mut scene = full_with_low(1);
    let mut number = started(&scene.event(Event::Asked(1, low(0)))).expect("a container");
    for _ in 0..LOSSES_MAX {
        number = started(&scene.event(Event::Lost(number))).expect("another one");
    }
    let actions = scene.event(Event::Lost(number));
    assert_eq!(actions, [Action::Answer(1, Answer::Failed(Reason::SpawnerLost, 0))]);
    scene.start(2, small(0));
}

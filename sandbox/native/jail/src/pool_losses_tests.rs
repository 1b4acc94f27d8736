//! What goes wrong: children, containers and requests that get lost, renewal, and any order of events.

use super::*;

#[test]
fn a_request_that_does_not_reach_its_child_goes_to_the_next() {
    let mut scene = Scene::full(2);
    let token = scene.start(7, small(50));
    let actions = scene.event(Event::NotForwarded(token, small(50)));
    assert_eq!(actions.first(), Some(&Action::Kill(token)));
    let other = forwarded(&actions, 7).expect("the next child");
    assert_ne!(other, token);
    scene.gone(token, 9);
    assert!(ended(&scene.gone(other, 0), 7).is_some());
    scene.moment();
    assert_eq!(scene.pool.next_deadline(), None);
}

#[test]
fn children_that_die_while_they_are_prepared_are_tried_again_and_then_refused() {
    let mut scene = Scene::new(1, 1_000_000, 1000);
    scene.event(Event::Standing(0));
    scene.event(Event::Asked(7, small(0)));
    let mut tries = 0;
    while let Some((token, _, _)) = scene.asked.pop_front() {
        tries += 1;
        scene.gone(token, 83 << 8);
        assert!(tries < 50, "it must end");
    }
    assert!(scene.done.contains(&Action::Answer(7, Answer::Failed(Reason::NoProcess, 0))));
    assert_eq!(prepares(&scene.event(Event::Asked(8, small(0)))), 2, "somebody wants it: tried again");
    scene.prepare_all();
    assert!(forwarded(&scene.done, 8).is_some());
}

#[test]
fn children_that_cannot_be_made_are_counted_with_their_errno() {
    let mut scene = Scene::new(1, 1_000_000, 1000);
    scene.event(Event::Standing(0));
    scene.event(Event::Asked(7, small(0)));
    while let Some((token, _, _)) = scene.asked.pop_front() {
        scene.event(Event::Unborn(token, libc::EAGAIN));
    }
    assert!(scene.done.contains(&Action::Answer(7, Answer::Failed(Reason::NoProcess, libc::EAGAIN))));
}

#[test]
fn a_ready_child_that_dies_is_replaced_and_not_used() {
    let mut scene = Scene::full(1);
    let token = scene
        .done
        .iter()
        .find_map(|action| if let Action::Prepare(token, 0, Class::Small) = action { Some(*token) } else { None })
        .expect("one");
    assert_eq!(prepares(&scene.event(Event::HungUp(token))), 1);
    assert_eq!(scene.ready(), 0);
    assert_eq!(forwarded(&scene.event(Event::Asked(7, small(0))), 7), None);
    scene.gone(token, 9);
    scene.prepare_all();
    assert!(forwarded(&scene.done, 7).is_some_and(|other| other != token));
}

//! Containers come, go and are renewed; and everything in any order.

use super::*;

#[test]
fn a_lost_container_is_replaced_and_its_programs_are_reported() {
    let mut scene = Scene::full(2);
    let token = scene.start(7, small(100));
    scene.event(Event::HungUp(token));
    scene.moment();
    scene.prepare_all();
    let actions = scene.event(Event::Lost(0));
    assert!(actions.contains(&Action::Answer(7, Answer::Failed(Reason::SpawnerLost, 0))));
    assert!(actions.contains(&Action::StartContainer(2, Trade::Programs)));
    assert_eq!((scene.ready(), scene.pool.figures().programs, scene.pool.next_deadline()), (0, 0, None));
    scene.event(Event::Asked(8, small(0)));
    scene.event(Event::Standing(2));
    scene.prepare_all();
    assert!(forwarded(&scene.done, 8).is_some(), "who came meanwhile has waited");
    assert_eq!(scene.pool.figures().generation, 2);
}

#[test]
fn containers_that_never_stay_up_are_given_up() {
    let mut scene = Scene::new(1, 1_000_000, 1000);
    let mut number = 0;
    loop {
        let actions = scene.event(Event::Lost(number));
        number += 1;
        assert!(number < 20, "it must end");
        if actions.contains(&Action::GiveUp) {
            break;
        }
        assert!(actions.contains(&Action::StartContainer(number, Trade::Programs)));
    }
    assert_eq!(number, LOSSES_MAX + 1);
}

#[test]
fn lost_workers_containers_refuse_compilations_only() {
    let mut scene = Scene::full(1);
    scene.event(Event::Asked(5, compile(0)));
    scene.event(Event::Asked(6, compile(0)));
    for _ in 0..=LOSSES_MAX {
        let number =
            *scene.pool.containers.iter().find(|(_, container)| container.trade == Trade::Compiles).expect("one").0;
        scene.event(Event::Lost(number));
    }
    assert!(scene.done.contains(&Action::Answer(6, Answer::Failed(Reason::SpawnerLost, 0))));
    assert!(!scene.done.contains(&Action::GiveUp));
    scene.start(7, small(0));
    let actions = scene.event(Event::Asked(8, compile(0)));
    assert!(actions.iter().any(|action| matches!(action, Action::StartContainer(_, Trade::Compiles))), "tried again");
}

#[test]
fn a_container_is_renewed_after_its_starts_and_the_old_one_ends_with_its_last_program() {
    let mut scene = Scene::new(1, 3, 1000);
    scene.event(Event::Standing(0));
    scene.event(Event::Standing(1));
    scene.prepare_all();
    let old = scene.start(1, small(0));
    scene.event(Event::HungUp(old));
    scene.prepare_all();
    let second = scene.start(2, small(0));
    scene.event(Event::HungUp(second));
    assert!(scene.done.contains(&Action::StartContainer(2, Trade::Programs)), "{:?}", scene.done);
    scene.prepare_all();
    scene.event(Event::Standing(2));
    let third = scene.start(3, small(0));
    scene.event(Event::HungUp(third));
    assert!(scene.asked.iter().all(|(_, container, _)| *container == 2), "new children come from the new one");
    scene.prepare_all();
    scene.gone(old, 0);
    scene.gone(second, 0);
    assert!(!scene.done.contains(&Action::EndContainer(0)));
    assert!(scene.gone(third, 0).contains(&Action::EndContainer(0)));
}

#[test]
fn renewals_are_bounded_however_long_programs_live() {
    let mut scene = Scene::new(1, 1, 100_000);
    scene.event(Event::Standing(0));
    for id in 0..200 {
        let actions = scene.event(Event::Asked(id, small(0)));
        scene.prepare_all();
        if let Some(token) = forwarded(&actions, id).or_else(|| forwarded(&scene.done, id)) {
            scene.event(Event::HungUp(token));
        }
        let starting: Vec<u32> = scene
            .pool
            .containers
            .iter()
            .filter(|(_, container)| !container.standing)
            .map(|(number, _)| *number)
            .collect();
        starting.into_iter().for_each(|number| drop(scene.event(Event::Standing(number))));
    }
    let programs = scene.pool.containers.values().filter(|container| container.trade == Trade::Programs).count();
    assert!(programs <= CONTAINERS_MAX, "{programs}");
}

#[test]
fn whatever_happens_each_request_is_answered_once() {
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..200 {
        let mut scene = Scene::new(2, 5, 200);
        let (mut asked, mut children) = (0u32, Vec::new());
        for _ in 0..300 {
            scene.now += random(50);
            let containers: Vec<(u32, bool)> =
                scene.pool.containers.iter().map(|(number, container)| (*number, container.standing)).collect();
            let event = match random(11) {
                0..3 => {
                    asked += 1;
                    Event::Asked(asked, if random(4) == 0 { compile(100) } else { small(50) })
                }
                3 => Event::Asked(u32::try_from(random(u64::from(asked) + 1)).unwrap_or(0), Request::Kill),
                4 | 5 => match scene.asked.pop_front() {
                    Some((token, _, _)) => {
                        children.push(token);
                        Event::Prepared(token)
                    }
                    None => Event::Tick,
                },
                6 => Event::HungUp(pick(&children, random(1 << 20))),
                7 => Event::Gone(pick(&children, random(1 << 20)), 9, Usage::default(), random(2) == 0),
                8 => Event::Tick,
                9 => Event::Unborn(pick(&children, random(1 << 20)), libc::EAGAIN),
                _ => match containers.iter().find(|(_, standing)| !standing) {
                    Some((number, _)) => Event::Standing(*number),
                    None if random(20) == 0 => {
                        containers.first().map_or(Event::Tick, |(number, _)| Event::Lost(*number))
                    }
                    None => Event::Tick,
                },
            };
            scene.event(event);
        }
        for number in scene.pool.containers.keys().copied().collect::<Vec<_>>() {
            scene.event(Event::Lost(number));
        }
        check_answers(&scene, asked);
    }
}

fn pick(tokens: &[u32], random: u64) -> u32 {
    let count = tokens.len().max(1) as u64;
    usize::try_from(random % count).ok().and_then(|at| tokens.get(at)).copied().unwrap_or(0)
}

fn check_answers(scene: &Scene, asked: u32) {
    for id in 1..=asked {
        let answers = scene
            .done
            .iter()
            .filter(|action| matches!(action, Action::Answer(other, _) | Action::Refuse(other, ..) if *other == id))
            .count();
        assert_eq!(answers + usize::from(scene.pool.has(id)), 1, "request {id}");
    }
    for (id, place) in &scene.pool.requests {
        let somebody_has_it = match place {
            Place::Waiting(_) => scene.pool.waiting.values().any(|queue| queue.contains(id)),
            Place::With(token) => scene.pool.children.contains_key(token),
        };
        assert!(somebody_has_it, "request {id} waits for nobody: {place:?}");
    }
    let running = scene.pool.children.values().filter(|child| matches!(child.phase, Phase::Running(_))).count();
    assert_eq!(scene.pool.running, running as u64);
    for (class, preparing) in &scene.pool.preparing {
        let count = scene
            .pool
            .children
            .values()
            .filter(|child| child.class == *class && child.phase == Phase::Preparing)
            .count();
        assert_eq!(*preparing, count);
    }
}

#[test]
fn a_share_reaches_a_program_that_runs_at_once_and_one_that_waits_with_its_child() {
    let mut scene = Scene::full(1);
    scene.event(Event::Asked(1, small(0)));
    let actions = scene.event(Event::Asked(1, Request::Share(7)));
    assert!(matches!(actions[..], [Action::Share(_, 7)]), "{actions:?}");
    scene.event(Event::Asked(2, small(0)));
    assert_eq!(scene.event(Event::Asked(2, Request::Share(8))), []);
    assert_eq!(scene.event(Event::Asked(3, Request::Share(9))), [], "nobody's");
    scene.prepare_all();
    assert_eq!(scene.done.iter().filter(|action| matches!(action, Action::Share(_, 8))).count(), 1);
}

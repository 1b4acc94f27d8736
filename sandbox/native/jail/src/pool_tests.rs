use super::supply::{CONTAINERS_MAX, LOSSES_MAX, PREPARING_MAX};
use super::*;
use gatebus_wire::{Compile, Start};

#[path = "pool_order_tests.rs"]
mod order;

#[path = "pool_losses_tests.rs"]
mod losses;

#[path = "pool_low_tests.rs"]
mod low;

/// Plays spawner and children: prepares what is asked for when it is told to.
struct Scene {
    pool: Pool,
    now: u64,
    asked: VecDeque<(u32, u32, Class)>,
    done: Vec<Action>,
}

fn small(wall_ms: u32) -> Request {
    Request::Start(Start { wall_ms, ..Start::default() })
}

fn compile(wall_ms: u32) -> Request {
    Request::Compile(Compile { wall_ms, ..Compile::default() })
}

impl Scene {
    fn new(size: usize, renew_after: u32, descriptors: u64) -> Scene {
        let mut scene = Scene {
            pool: Pool::new(size, renew_after, descriptors),
            now: 1000,
            asked: VecDeque::new(),
            done: Vec::new(),
        };
        let actions = scene.pool.begin();
        assert_eq!(actions, [Action::StartContainer(0, Trade::Programs)]);
        scene
    }

    /// Both containers stand and the pool is full.
    fn full(size: usize) -> Scene {
        let mut scene = Scene::new(size, 1_000_000, 1_000_000);
        assert_eq!(scene.event(Event::Standing(0)).first(), Some(&Action::StartContainer(1, Trade::Compiles)));
        scene.event(Event::Standing(1));
        scene.prepare_all();
        scene
    }

    fn event(&mut self, event: Event) -> Vec<Action> {
        let actions = self.pool.decide(self.now, event);
        for action in &actions {
            if let Action::Prepare(token, container, class) = action {
                self.asked.push_back((*token, *container, *class));
            }
        }
        self.done.extend(&actions);
        actions
    }

    fn prepare_all(&mut self) {
        while let Some((token, _, _)) = self.asked.pop_front() {
            self.event(Event::Prepared(token));
        }
    }

    /// Time enough for the pool to be filled again.
    fn moment(&mut self) -> Vec<Action> {
        self.now += REFILL_MS;
        self.event(Event::Tick)
    }

    /// Asks, and gives back the child that got the request.
    fn start(&mut self, id: u32, request: Request) -> u32 {
        let actions = self.event(Event::Asked(id, request));
        forwarded(&actions, id).expect("a child was ready")
    }

    fn gone(&mut self, token: u32, status: i32) -> Vec<Action> {
        self.event(Event::Gone(token, status, Usage::default(), false))
    }

    fn ready(&self) -> u32 {
        self.pool.figures().ready
    }
}

fn forwarded(actions: &[Action], id: u32) -> Option<u32> {
    actions.iter().find_map(|action| match action {
        Action::Forward(token, other, _) if *other == id => Some(*token),
        _ => None,
    })
}

fn ended(actions: &[Action], id: u32) -> Option<Ended> {
    actions.iter().find_map(|action| match action {
        Action::Answer(other, Answer::Ended(ended)) if *other == id => Some(*ended),
        _ => None,
    })
}

fn prepares(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Prepare(..))).count()
}

#[test]
fn the_pool_is_filled_when_the_container_stands() {
    let scene = Scene::full(4);
    let figures = scene.pool.figures();
    assert_eq!(figures, Figures { ready: 4, size: 4, programs: 0, generation: 1 });
}

#[test]
fn a_request_goes_to_a_ready_child_and_the_pool_is_filled_a_moment_later() {
    let mut scene = Scene::full(4);
    let actions = scene.event(Event::Asked(7, small(0)));
    let token = forwarded(&actions, 7).expect("forwarded");
    assert_eq!(prepares(&actions), 0, "the program needs the processor now");
    assert_eq!(scene.event(Event::HungUp(token)), []);
    assert_eq!(scene.event(Event::Tick), []);
    assert_eq!(scene.pool.next_deadline(), Some(scene.now + REFILL_MS));
    assert_eq!(prepares(&scene.moment()), 1);
    assert_eq!((scene.pool.figures().programs, scene.pool.next_deadline()), (1, None));
}

#[test]
fn the_end_of_a_program_does_not_put_the_filling_off_nor_bring_it_forward() {
    let mut scene = Scene::full(4);
    let token = scene.start(7, small(0));
    scene.now += 1;
    assert_eq!(prepares(&scene.gone(token, 0)), 0);
    assert_eq!(scene.pool.next_deadline(), Some(scene.now - 1 + REFILL_MS));
}

#[test]
fn a_pool_that_is_nearly_empty_is_filled_at_once() {
    let mut scene = Scene::full(4);
    let orders: Vec<usize> = (1..=4).map(|id| prepares(&scene.event(Event::Asked(id, small(0))))).collect();
    assert_eq!(orders, [0, 0, 3, 0], "one is left after the third");
    scene.prepare_all();
    assert_eq!(scene.ready(), 3);
    scene.moment();
    scene.prepare_all();
    assert_eq!((scene.ready(), scene.pool.next_deadline()), (4, None));
}

#[test]
fn a_large_pool_becomes_full_without_any_request() {
    let mut scene = Scene::full(3 * PREPARING_MAX);
    for _ in 0..3 {
        scene.moment();
        scene.prepare_all();
    }
    assert_eq!((scene.ready() as usize, scene.pool.next_deadline()), (3 * PREPARING_MAX, None));
}

#[test]
fn the_end_is_answered_with_what_it_cost() {
    let mut scene = Scene::full(2);
    let token = scene.start(7, small(0));
    scene.event(Event::HungUp(token));
    let usage = Usage { user_us: 1, system_us: 2, max_rss: 3 };
    let actions = scene.event(Event::Gone(token, 256, usage, false));
    let end = Ended { wait_status: 256, why: Why::Itself, user_us: 1, system_us: 2, max_rss: 3 };
    assert_eq!(ended(&actions, 7), Some(end));
    assert!(actions.contains(&Action::Forget(token)));
    assert!(!scene.pool.has(7));
}

#[test]
fn a_child_that_ends_before_its_lock_is_seen_is_answered_too() {
    let mut scene = Scene::full(1);
    let token = scene.start(7, small(0));
    let actions = scene.gone(token, 81 << 8);
    assert_eq!(ended(&actions, 7).map(|end| end.wait_status), Some(81 << 8));
    assert_eq!(scene.event(Event::HungUp(token)), []);
}

#[test]
fn requests_wait_in_order_and_each_gets_the_next_child() {
    let mut scene = Scene::full(1);
    scene.start(1, small(0));
    for id in 2..=4 {
        assert_eq!(forwarded(&scene.event(Event::Asked(id, small(0))), id), None);
    }
    assert_eq!(scene.asked.len(), 4, "one for the pool and one for each that waits");
    for id in 2..=4 {
        let (token, _, _) = scene.asked.pop_front().expect("asked");
        assert_eq!(forwarded(&scene.event(Event::Prepared(token)), id), Some(token));
    }
}

#[test]
fn no_more_than_eight_children_are_prepared_at_once() {
    let mut scene = Scene::full(1);
    for id in 0..100 {
        scene.event(Event::Asked(id, small(0)));
        assert!(scene.asked.len() <= PREPARING_MAX);
    }
    scene.prepare_all();
    assert_eq!(scene.pool.figures().programs, 100);
    assert!(scene.pool.waiting.values().all(VecDeque::is_empty));
}

#[test]
fn more_requests_than_descriptors_are_refused() {
    let mut scene = Scene::new(1, 1_000_000, 10);
    scene.event(Event::Standing(0));
    assert!(scene.event(Event::Asked(1, small(0))).iter().all(|action| !matches!(action, Action::Refuse(..))));
    scene.event(Event::Asked(2, small(0)));
    let refusal = scene.event(Event::Asked(3, small(0)));
    assert_eq!(refusal, [Action::Refuse(3, Reason::TooMany, 0)]);
    scene.prepare_all();
    let tokens: Vec<u32> = scene
        .done
        .iter()
        .filter_map(|action| if let Action::Forward(token, ..) = action { Some(*token) } else { None })
        .collect();
    tokens.into_iter().for_each(|token| drop(scene.event(Event::HungUp(token))));
    assert!(
        !scene.event(Event::Asked(3, small(0))).contains(&Action::Refuse(3, Reason::TooMany, 0)),
        "running ones hold fewer"
    );
}

#[test]
fn killing_marks_who_did_it_only_when_the_end_is_a_kill() {
    let cases = [(9, Why::Kill), (0, Why::Itself), (31, Why::Itself)];
    for (status, why) in cases {
        let mut scene = Scene::full(1);
        let token = scene.start(7, small(0));
        assert_eq!(scene.event(Event::Asked(7, Request::Kill)), [Action::Kill(token)]);
        assert_eq!(ended(&scene.gone(token, status), 7).map(|end| end.why), Some(why));
    }
}

#[test]
fn a_waiting_request_is_killed_without_a_process() {
    let mut scene = Scene::full(1);
    scene.start(1, small(0));
    scene.event(Event::Asked(2, small(0)));
    let actions = scene.event(Event::Asked(2, Request::Kill));
    assert_eq!(ended(&actions, 2).map(|end| (end.wait_status, end.why)), Some((9, Why::Kill)));
    let (token, _, _) = scene.asked.pop_front().expect("asked");
    assert_eq!(scene.event(Event::Prepared(token)), [], "nobody waits any more");
}

#[test]
fn killing_what_is_not_there_does_nothing() {
    assert_eq!(Scene::full(1).event(Event::Asked(99, Request::Kill)), []);
}

#[test]
fn out_of_memory_is_told_apart_from_a_kill() {
    let mut scene = Scene::full(1);
    let token = scene.start(7, small(0));
    let actions = scene.event(Event::Gone(token, 9, Usage::default(), true));
    assert_eq!(ended(&actions, 7).map(|end| end.why), Some(Why::Memory));
}

#[test]
fn wall_time_is_enforced_to_the_millisecond() {
    for request in [small(500), compile(500)] {
        let mut scene = Scene::full(1);
        let token = scene.start(7, request);
        scene.moment();
        assert_eq!(scene.pool.next_deadline(), Some(1500));
        scene.now = 1499;
        assert_eq!(scene.event(Event::Tick), []);
        scene.now += 1;
        assert_eq!(scene.event(Event::Tick), [Action::Kill(token)]);
        assert_eq!(scene.pool.next_deadline(), None);
        assert_eq!(ended(&scene.gone(token, 9), 7).map(|end| end.why), Some(Why::Wall));
    }
}

#[test]
fn the_wall_time_of_a_parked_program_does_not_pass() {
    let mut scene = Scene::full(1);
    let token = scene.start(7, small(500));
    scene.moment();
    let parked = [Action::Park(token, true), Action::Tell(7, Answer::Parked(true))];
    assert_eq!(scene.event(Event::Asked(7, Request::Park(true))), parked);
    assert_eq!(scene.pool.next_deadline(), None);
    scene.now += 5_000;
    assert_eq!(scene.event(Event::Tick), []);
    assert_eq!(scene.event(Event::Asked(7, Request::Park(true))), parked, "said twice it is obeyed once");
    let left = 1_500 - (scene.now - 5_000);
    scene.event(Event::Asked(7, Request::Park(false)));
    assert_eq!(scene.pool.next_deadline(), Some(scene.now + left));
    scene.event(Event::Asked(7, Request::Park(false)));
    assert_eq!(scene.pool.next_deadline(), Some(scene.now + left));
    scene.now += left;
    assert_eq!(scene.event(Event::Tick), [Action::Kill(token)]);
}

#[test]
fn a_parked_program_can_be_killed_and_leaves_nothing_behind() {
    let mut scene = Scene::full(1);
    let token = scene.start(7, small(500));
    scene.moment();
    scene.event(Event::Asked(7, Request::Park(true)));
    assert_eq!(scene.event(Event::Asked(7, Request::Kill)), [Action::Kill(token)]);
    assert_eq!(ended(&scene.gone(token, 9), 7).map(|end| end.why), Some(Why::Kill));
    assert_eq!(scene.event(Event::Asked(7, Request::Park(false))), [], "it is gone");
    scene.moment();
    assert_eq!(scene.pool.next_deadline(), None);
}

#[test]
fn who_is_parked_before_he_has_a_process_stands_still_before_he_gets_his_program() {
    let mut scene = Scene::full(0);
    scene.event(Event::Asked(7, small(500)));
    assert_eq!(scene.event(Event::Asked(7, Request::Park(true))), [Action::Tell(7, Answer::Parked(true))]);
    let (token, _, _) = *scene.asked.back().expect("a request");
    let actions = scene.event(Event::Prepared(token));
    assert_eq!(actions[..2], [Action::Park(token, true), Action::Forward(token, 7, small(500))]);
    let actions = scene.event(Event::NotForwarded(token, small(500)));
    assert!(!actions.contains(&Action::Tell(7, Answer::Parked(true))), "one answer each");
    let (other, _, _) = *scene.asked.back().expect("a request");
    assert!(scene.event(Event::Prepared(other)).contains(&Action::Park(other, true)));
}

#[test]
fn without_wall_time_there_is_no_deadline_and_an_ended_program_has_none() {
    let mut scene = Scene::full(2);
    scene.start(1, small(0));
    scene.moment();
    assert_eq!(scene.pool.next_deadline(), None);
    let token = scene.start(2, small(10));
    scene.gone(token, 0);
    scene.moment();
    assert_eq!(scene.pool.next_deadline(), None);
}

#[test]
fn large_stacks_get_a_pool_of_one_after_their_first_use() {
    let mut scene = Scene::full(2);
    assert!(scene.done.iter().all(|action| !matches!(action, Action::Prepare(_, _, Class::Large))));
    let large = Request::Start(Start { stack_class: 1, ..Start::default() });
    scene.event(Event::Asked(1, large));
    assert_eq!(scene.asked.iter().filter(|(_, _, class)| *class == Class::Large).count(), 2, "one to use, one to have");
    let other = Request::Start(Start { stack_class: 9, ..Start::default() });
    assert_eq!(scene.event(Event::Asked(2, other)), [Action::Refuse(2, Reason::NoStackClass, 0)]);
}

#[test]
fn workers_come_from_their_own_container() {
    let mut scene = Scene::full(1);
    let actions = scene.event(Event::Asked(1, compile(0)));
    let token = forwarded(&actions, 1).expect("one is ready");
    let from = scene.done.iter().find_map(|action| match action {
        Action::Prepare(other, container, Class::Compile) if *other == token => Some(*container),
        _ => None,
    });
    assert_eq!(from, Some(1));
}

#[test]
fn an_id_that_is_taken_and_nonsense_are_refused_and_change_nothing() {
    let mut scene = Scene::full(2);
    let token = scene.start(7, small(0));
    assert_eq!(scene.event(Event::Asked(7, small(0))), [Action::Refuse(7, Reason::BadRequest, libc::EEXIST)]);
    assert_eq!(scene.event(Event::Nonsense(7)), [Action::Refuse(7, Reason::BadRequest, 0)]);
    assert!(ended(&scene.gone(token, 0), 7).is_some());
}

//! What a router lets restricted nodes do, cell by cell.

use super::*;
use crate::controller::router::{Route, Router};
use daffi_protocol::ErrorCode;
use daffi_protocol::control::Register;

const READ: u32 = 1;
const WRITE: u32 = 2;
const ROWS: u32 = 3;
const UNKNOWN: u32 = 99;

fn these(patterns: &[&str]) -> Names {
    Names::These(patterns.iter().map(ToString::to_string).collect())
}

/// A router with a callee that exposes read, write and the generator rows, and one node of `grant`.
fn world(grant: Option<Grant>) -> (Router, u32, u32) {
    let mut router = Router::new(1);
    let callee = router.join("callee", true);
    let add = ["orders.read", "orders.write", "*orders.rows"].map(String::from).to_vec();
    router.registry.register(callee, &Register { add, remove: vec![] }).unwrap();
    let node = router.join("node", true);
    if let Some(grant) = grant {
        router.restrict(node, Arc::new(grant));
    }
    (router, node, callee)
}

/// The first frame of each kind of call, and what it is called in a failure of this test.
fn frames(callee: u32) -> [(&'static str, Header); 10] {
    let request = |callback, flags| Header { callback, flags, slot: 1, generation: 1, ..Header::new(Kind::Request) };
    let pinned = |header: Header| Header { node: callee, ..header };
    [
        ("call read", request(READ, 0)),
        ("call write", request(WRITE, 0)),
        ("call write, pinned", pinned(request(WRITE, 0))),
        ("call write, without reply", request(WRITE, flags::NO_REPLY)),
        ("stream rows", request(ROWS, flags::STREAM)),
        ("call what nobody exposes", pinned(request(UNKNOWN, 0))),
        ("schedule read", pinned(request(READ, flags::SOURCE))),
        ("schedule write", pinned(request(WRITE, flags::SOURCE))),
        ("list tasks", pinned(request(0, 0))),
        ("transfer", pinned(Header { kind: Kind::Transfer, ..request(0, 0) })),
    ]
}

/// Which of [`frames`] are let through.
fn allowed(grant: Option<Grant>) -> Vec<&'static str> {
    let (mut router, node, callee) = world(grant);
    let mut allowed = Vec::new();
    for (what, mut header) in frames(callee) {
        let is_silent = header.flags & flags::NO_REPLY != 0;
        match router.route(node, &mut header) {
            Route::Forward(to) if to == callee => {
                allowed.push(what);
                let back = Header { kind: Kind::Response, flags: 0, ..header };
                router.route(callee, &mut back.clone());
            }
            Route::Answer(ErrorCode::NotPermitted) if !is_silent => {}
            Route::Drop if is_silent => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    allowed
}

#[test]
fn each_grant_allows_what_it_says_and_nothing_else() {
    assert_eq!(allowed(None).len(), 10);
    assert_eq!(allowed(Some(Grant::default())), Vec::<&str>::new());
    let read = Grant { call: these(&["*.read"]), ..Grant::default() };
    assert_eq!(allowed(Some(read.clone())), ["call read"]);
    let rows = Grant { call: these(&["orders.rows"]), ..Grant::default() };
    assert_eq!(allowed(Some(rows)), ["stream rows"]);
    let all = Grant { call: Names::All, ..Grant::default() };
    let calls = ["call read", "call write", "call write, pinned", "call write, without reply", "stream rows"];
    assert_eq!(allowed(Some(all)), [&calls[..], &["call what nobody exposes"]].concat());
    let schedule = Grant { schedule: true, ..read };
    assert_eq!(allowed(Some(schedule)), ["call read", "schedule read", "list tasks"]);
    assert_eq!(allowed(Some(Grant { transfer: true, ..Grant::default() })), ["transfer"]);
    assert_eq!(allowed(Some(Grant { admin: true, ..Grant::default() })), ["list tasks"]);
}

#[test]
fn a_node_may_expose_what_its_grant_names() {
    let (router, node, callee) = world(Some(Grant { expose: these(&["web.*"]), ..Grant::default() }));
    let names = ["web.index".to_owned(), "*web.rows".to_owned(), "db.read".to_owned()];
    assert_eq!(router.refused_to_expose(node, &names), Some(&names[2]));
    assert_eq!(router.refused_to_expose(node, &names[..2]), None);
    assert_eq!(router.refused_to_expose(callee, &names), None);
}

#[test]
fn only_an_admin_may_see_to_the_tasks_of_others() {
    for (grant, is_flagged) in [
        (None, true),
        (Some(Grant { schedule: true, ..Grant::default() }), false),
        (Some(Grant { schedule: true, admin: true, ..Grant::default() }), true),
    ] {
        let may_stop = grant.as_ref().is_some_and(|grant| grant.admin);
        let (mut router, node, callee) = world(grant);
        let mut header = Header { node: callee, slot: 1, generation: 1, ..Header::new(Kind::Request) };
        assert_eq!(router.route(node, &mut header), Route::Forward(callee));
        assert_eq!(header.flags & flags::LOCAL != 0, is_flagged);
        assert_eq!(router.may_stop_nodes(node), may_stop);
    }
}

#[test]
fn a_name_that_is_exposed_later_is_looked_up_then() {
    let (mut router, node, callee) = world(Some(Grant { call: these(&["later"]), ..Grant::default() }));
    let late = Header { callback: 4, slot: 1, generation: 1, ..Header::new(Kind::Request) };
    assert_eq!(router.route(node, &mut late.clone()), Route::Answer(ErrorCode::NotPermitted));
    router.registry.register(callee, &Register { add: vec!["later".into()], remove: vec![] }).unwrap();
    assert_eq!(router.route(node, &mut late.clone()), Route::Forward(callee));
}

#[test]
fn a_task_needs_a_node_and_an_answer() {
    let (mut router, node, callee) = world(None);
    for header in [
        Header { callback: READ, flags: flags::SOURCE, ..Header::new(Kind::Request) },
        Header { callback: READ, flags: flags::SOURCE | flags::NO_REPLY, node: callee, ..Header::new(Kind::Request) },
    ] {
        assert!(matches!(router.route(node, &mut header.clone()), Route::Violation(_)));
    }
}

#[test]
fn the_first_grant_that_names_a_node_is_its_own() {
    let grant = |nodes: &str, admin| Arc::new(Grant { nodes: vec![nodes.into()], admin, ..Grant::default() });
    let grants = [grant("web-1", true), grant("web-*", false)];
    assert!(grant_for(&grants, "web-1").unwrap().admin);
    assert!(!grant_for(&grants, "web-2").unwrap().admin);
    assert!(grant_for(&grants, "db").is_none());
}

#[test]
fn a_grant_prints_no_token() {
    let grant = Grant { token: Some("secret".into()), ..Grant::default() };
    assert!(!format!("{grant:?}").contains("secret"));
}

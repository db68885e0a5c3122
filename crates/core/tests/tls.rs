//! Who gets in over TLS and who does not: the cells of RELIABILITY S10, and peers that mistake the port.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod support;

use daffi_core::auth::Secret;
use daffi_core::controller::{Controller, ControllerOptions};
use daffi_core::error::CoreError;
use daffi_core::node::{Credentials, Node as RealNode, NodeOptions, PUMP_BYTES, Target};
use daffi_core::tls::{ClientTls, Identity, Roots, ServerTls, Trust};
use daffi_core::transport::{self, Address, Stream};
use daffi_protocol::control::{self, Refused};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{ErrorCode, Header, PREAMBLE};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::certificates::{Authority, Signed};
use support::{LIMIT, Node};
use tokio::sync::Notify;

/// Runs `test` inside a `LocalSet`, as a controller needs it.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(LIMIT, test).await.expect("the test hung");
    });
}

fn token() -> Option<String> {
    Some("open sesame".into())
}

/// A controller at a port of loopback; without TLS it must have a token.
async fn start(tls: Option<ServerTls>, token: Option<String>) -> Controller {
    let address = Some(Address::Tcp { host: "localhost".into(), port: 0 });
    let handshake_timeout = Duration::from_millis(500);
    Controller::start(ControllerOptions { address, tls, token, handshake_timeout, ..Default::default() }).await.unwrap()
}

async fn connect(controller: &Controller) -> Stream {
    transport::connect(controller.address()).await.unwrap()
}

/// Connects with TLS to a controller that asks for a token, or for certificates.
async fn join(controller: &Controller, tls: &ClientTls, name: &str) -> Result<Node, CoreError> {
    let secret = if tls.has_identity() { Secret::Certificate } else { Secret::Token("open sesame".into()) };
    let stream = connect(controller).await.with_tls_to(tls, "localhost")?;
    Node::shake(stream, name, 1, secret).await
}

/// The node must be refused, the reason must name `why`, and the controller must be as it was.
async fn refused(controller: &Controller, tls: &ClientTls, name: &str, why: &str) {
    let error = join(controller, tls, name).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Unauthorized, "{error}");
    assert!(error.message.contains(why), "{error}");
    gone(controller).await;
}

async fn gone(controller: &Controller) {
    while controller.stats().connections > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(controller.stats().nodes, 0);
}

#[test]
fn a_controller_whose_certificate_does_not_hold_is_refused_by_the_node() {
    run(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let expired = authority.sign_with(&["localhost"], |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        });
        for (shown, why) in [
            (Signed::by_itself(&["localhost"]), "tls: { ca }"),
            (other.sign(&["localhost"]), "tls: { ca }"),
            (authority.sign(&["example.org"]), "serverName"),
            (expired, "expired"),
        ] {
            let controller = start(Some(shown.server(None)), token()).await;
            refused(&controller, &authority.client(None), "node", why).await;
        }
        let controller = start(Some(authority.sign(&["localhost"]).server(None)), token()).await;
        let node = join(&controller, &authority.client(None), "node").await.unwrap();
        assert!(!node.welcome.local, "a token says nothing of the user");
    });
}

#[test]
fn system_roots_do_not_trust_a_stranger_and_only_skipping_does() {
    run(async {
        let shown = Signed::by_itself(&["example.org"]);
        let controller = start(Some(shown.server(None)), token()).await;
        match ClientTls::new(Trust::System, None, None) {
            Ok(system) => refused(&controller, &system, "node", "tls: { ca }").await,
            // A system without roots trusts nobody, and says so.
            Err(error) => assert_eq!(error.code, ErrorCode::Unauthorized),
        }
        let careless = ClientTls::new(Trust::Anybody, None, None).unwrap();
        join(&controller, &careless, "node").await.unwrap();
    });
}

#[test]
fn another_name_than_the_host_is_looked_for_where_the_node_says_so() {
    run(async {
        let authority = Authority::new();
        let controller = start(Some(authority.sign(&["rpc.example.org"]).server(None)), token()).await;
        let named = |name: &str| ClientTls::new(Trust::Roots(authority.pem.as_bytes().into()), None, Some(name.into()));
        join(&controller, &named("rpc.example.org").unwrap(), "node").await.unwrap();
        gone(&controller).await;
        refused(&controller, &named("localhost").unwrap(), "node", "serverName").await;
        assert_eq!(named("not a name").unwrap_err().code, ErrorCode::Unauthorized);
    });
}

#[test]
fn a_node_needs_a_certificate_that_was_signed_for_its_name() {
    run(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let controller = start(Some(authority.sign(&["localhost"]).server(Some(&authority))), None).await;
        let expired = authority.sign_with(&["worker"], |params| params.not_after = rcgen::date_time_ymd(2002, 1, 1));
        let roots = Trust::Roots(authority.pem.as_bytes().into());
        let none = ClientTls::new(roots, None, None).unwrap();
        refused(&controller, &none, "worker", "{ cert, key }").await;
        refused(&controller, &authority.client(Some(&other.sign(&["worker"]))), "worker", "{ cert, key }").await;
        refused(&controller, &authority.client(Some(&expired)), "worker", "{ cert, key }").await;
        refused(&controller, &authority.client(Some(&authority.sign(&["other"]))), "worker", "other").await;
        refused(&controller, &authority.client(Some(&authority.sign(&["*.site"]))), "a.site", "no DNS name").await;
        let good = authority.client(Some(&authority.sign(&["worker", "second"])));
        for name in ["worker", "second"] {
            let node = join(&controller, &good, name).await.unwrap();
            assert!(!node.welcome.local, "a certificate says nothing of the machine");
            drop(node);
            gone(&controller).await;
        }
    });
}

#[test]
fn a_certificate_that_was_revoked_is_refused_on_both_sides() {
    run(async {
        let authority = Authority::new();
        let numbered =
            |name: &str, serial: u64| authority.sign_with(&[name], |params| params.serial_number = Some(serial.into()));
        let (shown, good, bad) = (numbered("localhost", 1), numbered("worker", 2), numbered("worker", 3));
        let list = authority.revoke(&[3]);
        let roots = |list: &'static str| Roots { certificates: b"", revoked: Some(list.as_bytes()) };
        let asked = Roots { certificates: authority.pem.as_bytes(), revoked: Some(list.as_bytes()) };
        let server = ServerTls::new(shown.identity(), Some(asked)).unwrap();
        let controller = start(Some(server), None).await;
        refused(&controller, &authority.client(Some(&bad)), "worker", "revoked").await;
        let node = join(&controller, &authority.client(Some(&good)), "worker").await.unwrap();
        drop(node);
        gone(&controller).await;
        let own = authority.revoke(&[1]);
        let trusted = Roots { certificates: authority.pem.as_bytes(), revoked: Some(own.as_bytes()) };
        let wary = ClientTls::new(Trust::Roots(trusted), Some(good.identity()), None).unwrap();
        refused(&controller, &wary, "worker", "revoked").await;
        let foreign = Authority::new().revoke(&[]);
        let trusted = Roots { certificates: authority.pem.as_bytes(), revoked: Some(foreign.as_bytes()) };
        let unsure = ClientTls::new(Trust::Roots(trusted), Some(good.identity()), None).unwrap();
        refused(&controller, &unsure, "worker", "tls.crl").await;
        let broken = Roots { certificates: authority.pem.as_bytes(), ..roots("nothing") };
        assert!(ServerTls::new(shown.identity(), Some(broken)).unwrap_err().message.contains("`tls.crl`"));
    });
}

#[test]
fn a_token_is_asked_for_on_top_of_a_certificate() {
    run(async {
        let authority = Authority::new();
        let controller = start(Some(authority.sign(&["localhost"]).server(Some(&authority))), token()).await;
        let identity = authority.sign(&["worker"]);
        let tls = authority.client(Some(&identity));
        for (secret, is_right) in [
            (Secret::Certificate, false),
            (Secret::Token("wrong".into()), false),
            (Secret::Token("open sesame".into()), true),
        ] {
            let stream = connect(&controller).await.with_tls_to(&tls, "localhost").unwrap();
            let outcome = Node::shake(stream, "worker", 1, secret).await.map(|_| ());
            assert_eq!(outcome.is_ok(), is_right, "{outcome:?}");
            assert!(outcome.is_ok() || outcome.unwrap_err().code == ErrorCode::Unauthorized);
        }
    });
}

/// What comes until the end of the stream, and how long that took.
async fn answer(controller: &Controller, said: &[u8]) -> (Vec<u8>, Duration) {
    let stream = connect(controller).await;
    let begun = Instant::now();
    stream.write_all(said).await.unwrap();
    let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        heard.extend_from_slice(&buffer[..bytes]);
    }
    (heard, begun.elapsed())
}

/// A ClientHello for TLS 1.1 and no later version.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session, the cipher ECDHE-ECDSA-AES128-SHA, no compression, P-256 and ECDSA with SHA-256.
    hello.extend([0, 0, 2, 0xc0, 0x09, 1, 0, 0, 16, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = u8::try_from(hello.len()).unwrap();
    [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat()
}

#[test]
fn what_is_no_tls_or_old_tls_is_closed_at_once() {
    run(async {
        let authority = Authority::new();
        let controller = start(Some(authority.sign(&["localhost"]).server(None)), token()).await;
        for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0], b"SSH-2.0-x\r\n", &[0xff; 65_536]] {
            let (heard, took) = answer(&controller, said).await;
            assert!(heard.is_empty() && took < Duration::from_millis(100), "{heard:?} {took:?}");
        }
        let (heard, took) = answer(&controller, &old_hello()).await;
        assert_eq!(heard, [0x15, 3, 3, 0, 2, 2, 70], "a fatal alert, protocol_version");
        assert!(took < Duration::from_millis(100), "{took:?}");
        gone(&controller).await;
    });
}

#[test]
fn a_handshake_that_stops_half_way_ends_at_its_deadline() {
    run(async {
        let authority = Authority::new();
        let controller = start(Some(authority.sign(&["localhost"]).server(None)), token()).await;
        for said in [&[][..], &[0x16], &[0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]] {
            let (_, took) = answer(&controller, said).await;
            assert!((450..1500).contains(&took.as_millis()), "{took:?}");
        }
        gone(&controller).await;
    });
}

#[test]
fn a_node_without_tls_is_told_in_the_clear_that_the_port_speaks_it() {
    run(async {
        let authority = Authority::new();
        let controller = start(Some(authority.sign(&["localhost"]).server(None)), token()).await;
        let (heard, took) = answer(&controller, &PREAMBLE).await;
        let length = Header::decode(&heard).unwrap().unwrap().body_len as usize;
        let told: Refused = control::parse(&heard[HEADER_BYTES..HEADER_BYTES + length]).unwrap();
        assert_eq!(told.code, ErrorCode::Unauthorized as u32);
        assert!(took < Duration::from_millis(100), "{took:?}");
        let begun = Instant::now();
        let error = Node::shake(connect(&controller).await, "node", 1, Secret::Token("open sesame".into())).await;
        let error = error.map(|_| ()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unauthorized);
        assert!(error.message.contains("`tls`") && begun.elapsed() < Duration::from_millis(100), "{error}");
        gone(&controller).await;
    });
}

#[test]
fn a_node_with_tls_is_told_that_the_port_speaks_none() {
    run(async {
        let controller = start(None, token()).await;
        refused(&controller, &Authority::new().client(None), "node", "speaks no TLS").await;
    });
}

#[test]
fn beyond_this_machine_a_controller_needs_a_token_or_certificates() {
    run(async {
        let authority = Authority::new();
        let shown = authority.sign(&["localhost"]);
        let start = async |tls, token, allow_remote| {
            let address = Some(Address::Tcp { host: "0.0.0.0".into(), port: 0 });
            Controller::start(ControllerOptions { address, tls, token, allow_remote, ..Default::default() }).await
        };
        for (tls, token, is_allowed) in [
            (Some(shown.server(None)), None, false),
            (None, None, false),
            (Some(shown.server(None)), token(), true),
            (Some(shown.server(Some(&authority))), None, true),
        ] {
            assert_eq!(start(tls, token, true).await.map(|_| ()).map_err(|error| error.code).is_ok(), is_allowed);
        }
        let folder = support::folder();
        let address = Some(Address::Unix { path: folder.join(".sock") });
        let over_unix = ControllerOptions { address, tls: Some(shown.server(None)), ..Default::default() };
        assert_eq!(Controller::start(over_unix).await.map(|_| ()).unwrap_err().code, ErrorCode::BadAddress);
        std::fs::remove_dir_all(folder).unwrap();
    });
}

#[test]
fn what_cannot_be_used_is_named_and_a_key_is_never_repeated() {
    let (signed, other) = (Signed::by_itself(&["a"]), Signed::by_itself(&["a"]));
    let identity = |cert: &'static str, key: &'static str| Identity { cert: cert.as_bytes(), key: key.as_bytes() };
    let cases = [
        (ServerTls::new(identity("", ""), None).err(), "`tls.cert`"),
        (ServerTls::new(Identity { key: b"secret words", ..signed.identity() }, None).err(), "`tls.key`"),
        (ServerTls::new(Identity { key: other.key.as_bytes(), ..signed.identity() }, None).err(), "`tls.cert`"),
        (ServerTls::new(signed.identity(), Some(b"nothing".as_slice().into())).err(), "`tls.ca`"),
        (ClientTls::new(Trust::Roots(b"".as_slice().into()), None, None).err(), "`tls.ca`"),
    ];
    for (error, option) in cases {
        let error = error.unwrap();
        assert!(error.message.contains(option) && !error.message.contains("secret"), "{error}");
    }
}

/// The first event of a whole node, guard and all.
async fn first_event(options: NodeOptions) -> (u8, Vec<u8>) {
    let bell = Arc::new(Notify::new());
    let ring = Arc::clone(&bell);
    let node = RealNode::open(options, Box::new(move || ring.notify_one())).unwrap();
    let mut buffer = vec![0; PUMP_BYTES];
    loop {
        bell.notified().await;
        let drained = node.drain(&mut buffer);
        if drained.bytes > 0 {
            return (buffer[4], buffer[..drained.bytes].to_vec());
        }
    }
}

#[test]
fn a_node_gives_up_at_once_on_a_controller_that_it_cannot_trust() {
    run(async {
        let (authority, other) = (Authority::new(), Authority::new());
        let controller = start(Some(authority.sign(&["localhost"]).server(Some(&authority))), None).await;
        let identity = authority.sign(&["worker"]);
        for (trusted, kind) in [(&other, 241), (&authority, 4)] {
            let tls =
                ClientTls::new(Trust::Roots(trusted.pem.as_bytes().into()), Some(identity.identity()), None).unwrap();
            let target = Target::Address(controller.address().clone());
            let options = NodeOptions::new("worker".into(), target, Credentials::Certificate);
            let (seen, _) = first_event(NodeOptions { tls: Some(tls), ..options }).await;
            assert_eq!(seen, kind, "failed, then welcomed");
        }
    });
}

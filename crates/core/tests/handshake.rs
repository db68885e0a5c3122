//! The handshake as a state machine, from both sides: frames in any order and in pieces of any size, and the corpus of its
//! fuzz target.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../../fuzz/checks/handshake.rs"]
mod check;

use daffi_core::auth::Secret;
use daffi_core::error::CoreError;
use daffi_core::handshake::{self, Accepted, ClientCredentials};
use daffi_core::transport::Stream;
use daffi_protocol::control::{self, Challenge, Hello, Proof, Refused, RegistryChange, Welcome};
use daffi_protocol::limits::HEADER_BYTES;
use daffi_protocol::{ErrorCode, Header, Kind, PREAMBLE, VERSION};
use proptest::prelude::*;
use std::net::Shutdown;
use std::path::Path;
use std::time::Duration;

#[test]
fn the_corpus_of_the_handshake_panics_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/handshake");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in &files {
        println!("{}", path.display());
        check::check(&std::fs::read(path).unwrap());
    }
    println!("row R1: files of the corpus of handshake that panic nothing: {}, at least 20", files.len());
    assert!(files.len() >= 20, "{} files: the corpus is lost", files.len());
}

/// What a peer says next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Preamble,
    Hello,
    HelloOfOtherVersion,
    Challenge,
    ChallengeOfOtherMethod,
    /// Over the nonces that were exchanged, if they were.
    Proof,
    WrongProof,
    Welcome,
    WrongWelcome,
    Refused,
    Request,
    Ping,
    Garbage,
}

fn say(first: &'static [Say]) -> impl Strategy<Value = Vec<Say>> {
    let any = prop::sample::select(vec![
        Say::Preamble,
        Say::Hello,
        Say::HelloOfOtherVersion,
        Say::Challenge,
        Say::ChallengeOfOtherMethod,
        Say::Proof,
        Say::WrongProof,
        Say::Welcome,
        Say::WrongWelcome,
        Say::Refused,
        Say::Request,
        Say::Ping,
        Say::Garbage,
    ]);
    // Mostly the right beginning, or hardly any would come far.
    (0..=first.len(), prop::collection::vec(any, 0..4)).prop_map(|(right, rest)| [&first[..right], &rest].concat())
}

fn secrets() -> impl Strategy<Value = Secret> {
    prop::sample::select(vec![Secret::Peer, Secret::Cookie([5; 32]), Secret::Token("t".into())])
}

const NAME: &str = "alice";
const INSTANCE: [u8; 16] = [4; 16];
const LIMIT: Duration = Duration::from_secs(5);

/// The far end: says what it is told to, cut into pieces.
struct Peer<'a> {
    stream: &'a Stream,
    secret: Secret,
    piece: usize,
    own_nonce: [u8; 32],
    their_nonce: Vec<u8>,
    heard: Vec<u8>,
}

impl Peer<'_> {
    fn bytes(&self, say: Say) -> Vec<u8> {
        let Self { secret, own_nonce, their_nonce, .. } = self;
        let (nonce, wrong) = (own_nonce.to_vec(), Secret::Token("wrong".into()));
        let hello = |version| Hello { version, role: "node".into(), nonce: nonce.clone() };
        let challenge = |method: &str| Challenge { version: VERSION, method: method.into(), nonce: nonce.clone() };
        let proof = |secret: &Secret| Proof {
            proof: secret.node_proof(their_nonce, own_nonce, NAME, &INSTANCE),
            name: NAME.into(),
            instance: INSTANCE.to_vec(),
            pid: 1,
            memory: false,
        };
        let welcome = |secret: &Secret| Welcome {
            proof: secret.controller_proof(their_nonce, own_nonce),
            node: 1,
            controller: String::new(),
            max_payload: 1,
            heartbeat_ms: 5000,
            dead_ms: 15_000,
            local: true,
            grant: None,
            registry: RegistryChange::default(),
        };
        match say {
            Say::Preamble => PREAMBLE.to_vec(),
            Say::Hello => control::frame(Kind::Hello, &hello(VERSION)).unwrap(),
            Say::HelloOfOtherVersion => control::frame(Kind::Hello, &hello(VERSION + 1)).unwrap(),
            Say::Challenge => control::frame(Kind::Challenge, &challenge(secret.method())).unwrap(),
            Say::ChallengeOfOtherMethod => control::frame(Kind::Challenge, &challenge("other")).unwrap(),
            Say::Proof => control::frame(Kind::Proof, &proof(secret)).unwrap(),
            Say::WrongProof => control::frame(Kind::Proof, &proof(&wrong)).unwrap(),
            Say::Welcome => control::frame(Kind::Welcome, &welcome(secret)).unwrap(),
            Say::WrongWelcome => control::frame(Kind::Welcome, &welcome(&wrong)).unwrap(),
            Say::Refused => {
                let refused = Refused { code: ErrorCode::QuotaExceeded as u32, message: "full".into() };
                control::frame(Kind::Refused, &refused).unwrap()
            }
            Say::Request => Header::new(Kind::Request).frame(&[0xc0]),
            Say::Ping => Header::new(Kind::Ping).encode().to_vec(),
            Say::Garbage => vec![0x42; 40],
        }
    }

    /// Reads until the frames that it waits for are there, or the end; gives the nonce in the last.
    async fn hear(&mut self, behind: usize, kind: Kind) {
        loop {
            if let Ok(Some(header)) = Header::decode(self.heard.get(behind..).unwrap_or_default())
                && self.heard.len() >= behind + header.frame_len()
            {
                let body = &self.heard[behind + HEADER_BYTES..][..header.body_len as usize];
                self.their_nonce = match kind {
                    Kind::Hello => control::parse::<Hello>(body).map_or(vec![], |hello| hello.nonce),
                    _ => control::parse::<Challenge>(body).map_or(vec![], |challenge| challenge.nonce),
                };
                return;
            }
            if !self.read().await {
                return;
            }
        }
    }

    async fn read(&mut self) -> bool {
        let mut chunk = [0; 4096];
        let read = self.stream.read(&mut chunk).await.unwrap_or(0);
        self.heard.extend_from_slice(&chunk[..read]);
        read > 0
    }

    async fn send(&self, bytes: &[u8]) {
        for piece in bytes.chunks(self.piece) {
            if self.stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        while self.read().await {}
    }
}

fn on_a_pair<T>(test: impl AsyncFnOnce(Stream, Stream) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (near, far) = Stream::pair().unwrap();
        let (near, far) = (Stream::from_unix_fd(near).unwrap(), Stream::from_unix_fd(far).unwrap());
        tokio::time::timeout(Duration::from_secs(60), test(near, far)).await.expect("the handshake did not end")
    })
}

/// A controller that somebody says `script` to: what it made of that, and what it told.
fn controller_hears(script: &[Say], secret: Secret, piece: usize) -> (Result<Accepted, CoreError>, Vec<Kind>) {
    on_a_pair(async |near: Stream, far: Stream| {
        let mut peer = Peer {
            stream: &near,
            secret: secret.clone(),
            piece,
            own_nonce: [1; 32],
            their_nonce: vec![],
            heard: vec![],
        };
        let speak = async {
            for (at, say) in script.iter().enumerate() {
                if script[..at] == [Say::Preamble, Say::Hello] {
                    peer.hear(0, Kind::Challenge).await;
                }
                peer.send(&peer.bytes(*say)).await;
            }
            peer.finish().await;
            peer.heard
        };
        let listen = async {
            let result = handshake::server(&far, &secret, LIMIT, &()).await;
            let _ = far.shutdown(Shutdown::Both);
            result
        };
        let (heard, result) = tokio::join!(speak, listen);
        let mut kinds = Vec::new();
        let mut rest = &heard[..];
        while let Some(header) = Header::decode(rest).unwrap() {
            kinds.push(header.kind);
            rest = &rest[header.frame_len()..];
        }
        (result, kinds)
    })
}

/// A node that somebody says `script` to: the welcome it believed with what it read in all, and all that was sent.
fn node_hears(script: &[Say], secret: Secret, piece: usize) -> (Result<Vec<u8>, CoreError>, Vec<u8>) {
    on_a_pair(async |near: Stream, far: Stream| {
        let mut peer = Peer {
            stream: &near,
            secret: secret.clone(),
            piece,
            own_nonce: [2; 32],
            their_nonce: vec![],
            heard: vec![],
        };
        let speak = async {
            peer.hear(PREAMBLE.len(), Kind::Hello).await;
            let bytes: Vec<u8> = script.iter().flat_map(|say| peer.bytes(*say)).collect();
            peer.send(&bytes).await;
            peer.finish().await;
            bytes
        };
        let listen = async {
            let credentials =
                ClientCredentials { name: NAME.into(), instance: INSTANCE, secret: secret.clone(), memory: false };
            let result = handshake::client(&far, credentials, LIMIT).await;
            let mut result = result.map(|(_, welcome, leftover)| [welcome, leftover].concat());
            let mut chunk = [0; 4096];
            while let (Ok(all), Ok(read @ 1..)) = (&mut result, far.read(&mut chunk).await) {
                all.extend_from_slice(&chunk[..read]);
            }
            let _ = far.shutdown(Shutdown::Both);
            result
        };
        let (sent, result) = tokio::join!(speak, listen);
        (result, sent)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_controller_lets_in_whoever_says_the_right_thing_in_the_right_order_and_nobody_else(
        script in say(&[Say::Preamble, Say::Hello, Say::Proof]),
        secret in secrets(),
        piece in prop::sample::select(vec![1usize, 7, 24, 100, 10_000]),
    ) {
        let (result, told) = controller_hears(&script, secret.clone(), piece);
        let is_open = secret == Secret::Peer;
        let right = script.starts_with(&[Say::Preamble, Say::Hello, Say::Proof]);
        prop_assert!(result.is_err() || right, "{:?} was let in", script);
        prop_assert!(result.is_ok() || !right || script.len() > 3, "{:?} was refused: {:?}", script, result);
        if let Ok(accepted) = &result {
            prop_assert_eq!((accepted.name.as_str(), accepted.instance), (NAME, INSTANCE));
            prop_assert_eq!(accepted.controller_proof.is_empty(), is_open);
        }
        // Nothing of nodes or callbacks, whatever was said.
        prop_assert!(told.iter().all(|kind| matches!(kind, Kind::Challenge | Kind::Refused)), "{:?}", told);
        prop_assert!(told.len() <= 2 && (told.is_empty() || script[0] == Say::Preamble), "{:?}", told);
    }

    #[test]
    fn a_node_believes_a_controller_that_proves_itself_and_loses_no_byte_behind_its_welcome(
        script in say(&[Say::Challenge, Say::Welcome]),
        secret in secrets(),
        piece in prop::sample::select(vec![1usize, 7, 24, 100, 10_000]),
    ) {
        let (result, sent) = node_hears(&script, secret.clone(), piece);
        let right = script.starts_with(&[Say::Challenge, Say::Welcome]);
        prop_assert_eq!(result.is_ok(), right, "{:?}: {:?}", script, result);
        match result {
            Ok(read) => prop_assert!(sent.ends_with(&read) && sent.len() - read.len() == challenge_len(&secret)),
            Err(error) => {
                let refused = script.iter().position(|say| *say == Say::Refused);
                let is_told = refused == Some(0) || (refused == Some(1) && script[0] == Say::Challenge);
                prop_assert_eq!(error.code == ErrorCode::QuotaExceeded, is_told, "{:?}", error);
            }
        }
    }
}

fn challenge_len(secret: &Secret) -> usize {
    let challenge = Challenge { version: VERSION, method: secret.method().into(), nonce: vec![0; 32] };
    control::frame(Kind::Challenge, &challenge).unwrap().len()
}

//! The first bytes of a connection, from either side, in pieces of any size: whoever cannot prove itself is not let in, and
//! every handshake ends.

use daffi_core::auth::Secret;
use daffi_core::handshake::{self, ClientCredentials};
use daffi_core::transport::Stream;
use daffi_protocol::control::is_valid_name;
use std::cell::RefCell;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// The first byte says which side is tried, with which secret, and how the rest is cut into pieces.
///
/// # Panics
///
/// When somebody is let in who cannot know the secret, or when the handshake goes on for ever.
pub fn check(input: &[u8]) {
    let Some((&how, bytes)) = input.split_first() else { return };
    RUNTIME.with_borrow_mut(|runtime| {
        // On a clock that goes on as soon as nothing else does: waits cost nothing.
        let runtime = runtime.get_or_insert_with(|| {
            Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
        });
        runtime.block_on(async {
            let ended = tokio::time::timeout(Duration::from_secs(60), shake(how, bytes)).await;
            assert!(ended.is_ok(), "the handshake did not end");
        });
    });
}

async fn shake(how: u8, bytes: &[u8]) {
    let (near, far) = Stream::pair().expect("a socket pair");
    let near = Stream::from_unix_fd(near).expect("a stream");
    let far = Stream::from_unix_fd(far).expect("a stream");
    let secret = match how >> 1 & 3 {
        0 => Secret::Token("which nobody knows".into()),
        1 => Secret::Cookie([7; 32]),
        _ => Secret::Peer,
    };
    let is_open = secret == Secret::Peer;
    // Few pieces of what is long, or one run would take as much time as a hundred.
    let piece = [1, 3, 24, 1 << 20][usize::from(how >> 3 & 3)].max(bytes.len() / 64);
    let speak = async {
        for piece in bytes.chunks(piece) {
            if near.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = near.shutdown(std::net::Shutdown::Write);
        let mut waste = [0; 1024];
        while let Ok(1..) = near.read(&mut waste).await {}
    };
    let listen = async {
        if how & 1 == 0 {
            if let Ok(accepted) = handshake::server(&far, &secret, LIMIT, &()).await {
                assert!(is_open, "let in without the secret");
                assert!(is_valid_name(&accepted.name), "let in with a name that is none");
            }
        } else {
            let credentials = ClientCredentials { name: "fuzz".into(), instance: [3; 16], secret, memory: true };
            if let Ok((_, frame, leftover)) = handshake::client(&far, credentials, LIMIT).await {
                assert!(is_open, "believed a controller without the secret");
                assert!(frame.len() + leftover.len() <= bytes.len(), "read more than came");
            }
        }
        let _ = far.shutdown(std::net::Shutdown::Both);
    };
    tokio::join!(speak, listen);
}

const LIMIT: Duration = Duration::from_secs(5);

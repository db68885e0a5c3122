//! The simulated network under the real transport: a TCP stream of turmoil and a socket pair of the system, joined.
//!
//! A node and a controller want a descriptor. The pair is written and read without waiting, on the simulated clock; what
//! is partitioned, held, late or lost is the stream behind it.

use super::ledger::{Ledger, Shared};
use daffi_core::auth::Secret;
use daffi_core::controller::{Controller, ControllerOptions};
use daffi_core::transport::{Address, Listener, Stream};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, TcpStream};

pub const CONTROLLER: &str = "controller";
pub const TOKEN: &str = "simulated";
const PORT: u16 = 7000;

/// Short, so that much happens in little time; dead is four heartbeats as by default it is three.
pub const HEARTBEAT: Duration = Duration::from_millis(100);
pub const DEAD: Duration = Duration::from_millis(400);
pub const HANDSHAKE: Duration = Duration::from_millis(500);

pub fn options() -> ControllerOptions {
    ControllerOptions {
        token: Some(TOKEN.into()),
        heartbeat: HEARTBEAT,
        dead: DEAD,
        stall: DEAD,
        handshake_timeout: HANDSHAKE,
        outbound_soft: 256 << 10,
        outbound_hard: 4 << 20,
        buffer_budget: 16 << 20,
        ..ControllerOptions::default()
    }
}

/// A connection to the controller, as a node dials it.
pub async fn dial() -> io::Result<OwnedFd> {
    join(TcpStream::connect((CONTROLLER, PORT)).await?)
}

/// One end of a socket pair whose other end is `stream`.
fn join(mut stream: TcpStream) -> io::Result<OwnedFd> {
    let (near, far) = Stream::pair()?;
    let mut far = UnixStream::from_std(far.into())?;
    tokio::task::spawn_local(async move {
        let _ = tokio::io::copy_bidirectional_with_sizes(&mut stream, &mut far, SEGMENT_BYTES, SEGMENT_BYTES).await;
    });
    Ok(near)
}

/// The process of the controller: serves until it is asked to stop, then comes back, as often as it is asked.
pub async fn controller(ledger: Shared, seed: u64) -> turmoil::Result {
    loop {
        let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
        let (give, given) = mpsc::channel(64);
        let address = Address::Tcp { host: CONTROLLER.into(), port: PORT };
        let secret = Secret::Token(TOKEN.into());
        let controller = Controller::start_on(Listener::given(address, given), secret, options(), seed as u32);
        ledger.borrow_mut().controller = Some(controller.clone());
        let away = loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let _ = give.send(join(accepted?.0)?).await;
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => {
                    if let Some(away) = ledger.borrow_mut().stop_controller.take() {
                        break away;
                    }
                }
            }
        };
        controller.close(away / 2).await;
        Ledger::note(&ledger, "the controller has stopped");
        drop(listener);
        tokio::time::sleep(away).await;
    }
}

/// What the simulated network carries at once: a large write becomes several segments.
const SEGMENT_BYTES: usize = 16 * 1024;

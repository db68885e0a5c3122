//! The works of the benchmark on bare tokio: a caller, a broker and a worker, each a process of its own.
//!
//! It is the limit of what three processes can do on one machine: frames with a header of 24 bytes, batched writes,
//! a broker that reads headers only, one thread a process. It has no names, timeouts, errors or reconnection, and
//! nothing that ships depends on it.
//!
//! `daffi-benchmark-limit <controller|worker|caller|starter> <tcp|unix> <address>`, started by `benchmark/peers/limit.ts`.
//! Prints a line of JSON when ready, takes one work a line on standard input and ends with it.

mod broadcast;
mod broker;
mod caller;
mod crowd;
mod frame;
mod greeting;
mod integer;
mod meter;
mod order;
mod reader;
mod socket;
mod stream;
mod worker;

use std::error::Error;
use std::io::{self, Write};

use crate::socket::Address;

/// What goes wrong here ends the process, and the harness reports the text.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, transport, place] = arguments.as_slice() else {
        return Err("usage: daffi-benchmark-limit <controller|worker|caller|starter> <tcp|unix> <address>".into());
    };
    let address = Address::parse(transport, place)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        match role.as_str() {
            "controller" => broker::run(&address).await,
            "worker" => worker::run(&address).await,
            "caller" => caller::run(address, false).await,
            "starter" => caller::run(address, true).await,
            other => Err(format!("unknown role {other}").into()),
        }
    })
}

/// Prints one line for the harness.
fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Ends the process when standard input ends, which is how the harness stops it, or how it died.
fn end_with_input() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
}

//! The broker: reads headers, forwards runs of frames for one destination from the buffer they were read into.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::frame::{HEADER_BYTES, HELLO, Header, REGISTER, RESPONSE, WELCOME};
use crate::socket::{Address, Listener, Socket};
use crate::{Outcome, end_with_input, say};

/// One read's worth of frames.
const BUFFER_BYTES: usize = 256 * 1024;

/// A destination, locked while a frame for it is under way so that frames of two sources do not mix.
type Outlet = Arc<Mutex<Arc<Socket>>>;

/// Who is connected. Node 0 is nobody.
#[derive(Default)]
struct Table {
    outlets: Vec<Option<Outlet>>,
    /// The nodes that registered, which have every callback.
    workers: Vec<u32>,
}

/// Listens and forwards until standard input ends.
pub async fn run(address: &Address) -> Outcome<()> {
    let listener = Listener::bind(address).await?;
    let table = Rc::new(RefCell::new(Table { outlets: vec![None], workers: Vec::new() }));
    end_with_input();
    say("{\"ready\":true}")?;
    loop {
        let socket = Arc::new(listener.accept().await?);
        let node = {
            let mut table = table.borrow_mut();
            table.outlets.push(Some(Arc::new(Mutex::new(Arc::clone(&socket)))));
            u32::try_from(table.outlets.len() - 1)?
        };
        let table = Rc::clone(&table);
        tokio::task::spawn_local(async move {
            // The end of a connection is the normal end of a benchmark's process.
            let _ = Pump { node, socket, table, open: None }.run().await;
        });
    }
}

/// A frame that has been announced and is not yet forwarded whole.
struct Open {
    /// Where its bytes go; `None` swallows them.
    outlet: Option<OwnedMutexGuard<Arc<Socket>>>,
    destination: u32,
    remaining: usize,
}

/// Carries what one node sends.
struct Pump {
    node: u32,
    socket: Arc<Socket>,
    table: Rc<RefCell<Table>>,
    open: Option<Open>,
}

impl Pump {
    async fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut held = 0;
        loop {
            let count = self.socket.read(buffer.get_mut(held..).unwrap_or_default()).await?;
            if count == 0 {
                return Ok(());
            }
            let end = held + count;
            let used = self.forward(buffer.get_mut(..end).unwrap_or_default()).await?;
            buffer.copy_within(used..end, 0);
            held = end - used;
        }
    }

    /// Forwards all of `bytes` but a header that is not whole; returns how many were used.
    async fn forward(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let (mut run, mut at) = (0, 0);
        while at < bytes.len() {
            if let Some(open) = &mut self.open
                && open.remaining > 0
            {
                let step = open.remaining.min(bytes.len() - at);
                open.remaining -= step;
                at += step;
                continue;
            }
            let Some(mut header) = bytes.get(at..).and_then(Header::read) else { break };
            let destination = self.route(&header);
            if self.open.as_ref().is_none_or(|open| open.destination != destination) {
                self.write(bytes.get(run..at).unwrap_or_default()).await?;
                run = at;
                self.open = None;
                let outlet = self.table.borrow().outlets.get(destination as usize).cloned().flatten();
                let outlet = match outlet {
                    Some(outlet) => Some(outlet.lock_owned().await),
                    None => None,
                };
                self.open = Some(Open { outlet, destination, remaining: 0 });
            }
            if let Some(open) = &mut self.open {
                open.remaining = header.frame_len();
            }
            header.node = self.node;
            if let Some(place) = bytes.get_mut(at..at + HEADER_BYTES) {
                place.copy_from_slice(&header.bytes());
            }
            if destination == 0 {
                self.greet(&header).await?;
            }
        }
        self.write(bytes.get(run..at).unwrap_or_default()).await?;
        if self.open.as_ref().is_some_and(|open| open.remaining == 0) {
            self.open = None;
        }
        Ok(at)
    }

    async fn write(&self, run: &[u8]) -> io::Result<()> {
        match self.open.as_ref().and_then(|open| open.outlet.as_ref()) {
            Some(outlet) => outlet.write(run).await,
            None => Ok(()),
        }
    }

    fn route(&self, header: &Header) -> u32 {
        match header.kind {
            HELLO | REGISTER => 0,
            RESPONSE => header.node,
            _ if header.node != 0 => header.node,
            _ => {
                let table = self.table.borrow();
                let turn = header.slot as usize % table.workers.len().max(1);
                table.workers.get(turn).copied().unwrap_or(0)
            }
        }
    }

    async fn greet(&self, header: &Header) -> io::Result<()> {
        if header.kind == REGISTER {
            self.table.borrow_mut().workers.push(self.node);
        }
        let mut welcome = Vec::new();
        Header { kind: WELCOME, body_len: 0, ..*header }.append(&[], &mut welcome);
        self.socket.write(&welcome).await
    }
}

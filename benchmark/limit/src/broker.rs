//! The broker: reads headers, forwards runs of frames for one destination from the buffer they were read into.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::frame::{EVERYONE, HEADER_BYTES, HELLO, Header, ITEM, REGISTER, RESPONSE, WELCOME};
use crate::socket::{Address, Listener, Socket};
use crate::{Outcome, end_with_input, say};

/// One read's worth of frames.
const BUFFER_BYTES: usize = 256 * 1024;

/// Buffers that nobody reads into at the moment: a connection has one only while it forwards what it has read.
type Buffers = Rc<RefCell<Vec<Vec<u8>>>>;

/// A destination, locked while a frame for it is under way so that frames of two sources do not mix.
type Outlet = Arc<Mutex<Arc<Socket>>>;

/// Who is connected. Node 0 is nobody.
struct Table {
    outlets: Vec<Option<Outlet>>,
    /// The nodes that registered, which have every callback.
    workers: Vec<u32>,
}

impl Table {
    /// The `nth` of the nodes that a destination names.
    fn outlet(&self, destination: u32, nth: usize) -> Option<Outlet> {
        let node = match (destination, nth) {
            (EVERYONE, _) => *self.workers.get(nth)?,
            (node, 0) => node,
            _ => return None,
        };
        self.outlets.get(node as usize).cloned().flatten()
    }
}

/// Listens and forwards until standard input ends.
pub async fn run(address: &Address) -> Outcome<()> {
    let listener = Listener::bind(address)?;
    let table = Rc::new(RefCell::new(Table { outlets: vec![None], workers: Vec::new() }));
    let buffers = Buffers::default();
    end_with_input();
    say("{\"ready\":true}")?;
    loop {
        let socket = Arc::new(listener.accept().await?);
        let node = {
            let mut table = table.borrow_mut();
            table.outlets.push(Some(Arc::new(Mutex::new(Arc::clone(&socket)))));
            u32::try_from(table.outlets.len() - 1)?
        };
        let (table, buffers) = (Rc::clone(&table), Rc::clone(&buffers));
        tokio::task::spawn_local(async move {
            let pump = Pump { node, socket, table, buffers, outlets: Vec::new(), open: None };
            // The end of a connection is the normal end of a benchmark's process.
            let _ = pump.run().await;
        });
    }
}

/// A frame that has been announced and is not yet forwarded whole.
struct Open {
    destination: u32,
    remaining: usize,
}

/// Carries what one node sends.
struct Pump {
    node: u32,
    socket: Arc<Socket>,
    table: Rc<RefCell<Table>>,
    buffers: Buffers,
    /// Where the bytes of the open frame go; none swallow them.
    outlets: Vec<OwnedMutexGuard<Arc<Socket>>>,
    open: Option<Open>,
}

impl Pump {
    async fn run(mut self) -> io::Result<()> {
        let socket = Arc::clone(&self.socket);
        // The start of a header that is not whole.
        let mut rest = Vec::new();
        loop {
            let mut readable = socket.readable().await?;
            let mut buffer = self.buffers.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES]);
            let (front, place) = buffer.split_at_mut(rest.len());
            front.copy_from_slice(&rest);
            let count = readable.read(place)?;
            if let Some(count @ 1..) = count {
                let end = rest.len() + count;
                let used = self.forward(buffer.get_mut(..end).unwrap_or_default()).await?;
                rest.clear();
                rest.extend_from_slice(buffer.get(used..end).unwrap_or_default());
            }
            self.buffers.borrow_mut().push(buffer);
            if count == Some(0) {
                return Ok(());
            }
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
                self.close();
                self.open(destination).await;
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
            self.close();
        }
        Ok(at)
    }

    /// Locks a destination. Those of everyone are locked in the same order by all, so that no two wait for each other.
    async fn open(&mut self, destination: u32) {
        loop {
            let outlet = self.table.borrow().outlet(destination, self.outlets.len());
            let Some(outlet) = outlet else { break };
            self.outlets.push(outlet.lock_owned().await);
        }
        self.open = Some(Open { destination, remaining: 0 });
    }

    fn close(&mut self) {
        self.outlets.clear();
        self.open = None;
    }

    async fn write(&self, run: &[u8]) -> io::Result<()> {
        for outlet in &self.outlets {
            outlet.write(run).await?;
        }
        Ok(())
    }

    fn route(&self, header: &Header) -> u32 {
        match header.kind {
            HELLO | REGISTER => 0,
            RESPONSE | ITEM => header.node,
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
        let workers = self.table.borrow().workers.len() as u32;
        Header { kind: WELCOME, body_len: 0, slot: workers, ..*header }.append(&[], &mut welcome);
        self.socket.write(&welcome).await
    }
}

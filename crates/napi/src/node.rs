//! The handle of a node's link: submit, drain, close.

use crate::controller::NativeController;
use crate::doorbell::{Watcher, remote};
use crate::dto::{AddressDto, Failure, NodeDto, NodeFigures, bytes, duration};
use crate::{tls, uv};
use daffi_core::node::{Big, Borrowed, Credentials, Node, NodeOptions, PUMP_BYTES, Target};
use daffi_core::panics;
use daffi_core::tls::ClientTls;
use daffi_core::transport::Address;
use daffi_protocol::Header;
use napi::bindgen_prelude::*;
use napi::{Env, sys};
use napi_derive::napi;
use std::ptr;

/// The link of one node. Use after `close` is harmless.
#[napi]
pub struct NativeNode {
    node: Node,
    watcher: Watcher,
    inline: bool,
}

/// Opens a node, or tells why not. `doorbell` is called whenever there is something to drain, on this thread, with
/// nothing; it must not throw.
#[napi(catch_unwind)]
pub fn open_node(
    env: &Env,
    options: NodeDto,
    controller: Option<&NativeController>,
    doorbell: Function<'_, (), ()>,
) -> Result<Either<NativeNode, Failure>> {
    let target = match controller {
        Some(controller) => Target::Embedded(controller.core().clone()),
        None => Target::Address(address(&options.address)?),
    };
    let tls = match options.tls.as_ref().filter(|_| controller.is_none()).map(tls::client).transpose() {
        Ok(tls) => tls,
        Err(error) => return Ok(Either::B(error.into())),
    };
    let shows_certificate = tls.as_ref().is_some_and(ClientTls::has_identity);
    let credentials = match (&options.token, &options.cookie_path) {
        (Some(token), _) => Credentials::Token(token.clone()),
        (None, _) if shows_certificate => Credentials::Certificate,
        (None, Some(path)) => Credentials::Cookie(path.into()),
        (None, None) => Credentials::Peer,
    };
    let inline = options.inline && uv::uv().is_some() && uv::event_loop(env.raw()).is_some();
    let node = NodeOptions {
        connect_timeout: options.connect_timeout_ms.map(duration),
        handshake_timeout: duration(options.handshake_timeout_ms),
        reconnect: (duration(options.reconnect_min_ms), duration(options.reconnect_max_ms)),
        max_payload: bytes(options.max_payload) as u64,
        inbound_bytes: bytes(options.inbound_bytes),
        outbound_soft: bytes(options.outbound_soft),
        tls,
        inline,
        ..NodeOptions::new(options.name, target, credentials)
    };
    let watcher = Watcher::new(env, &doorbell)?;
    Ok(match Node::open(node, remote(&doorbell)?) {
        Ok(node) => Either::A(NativeNode { node, watcher, inline }),
        Err(error) => Either::B(error.into()),
    })
}

/// Bytes that a buffer for `drain` must have.
#[napi]
pub const DRAIN_BYTES: u32 = PUMP_BYTES as u32;

#[napi]
impl NativeNode {
    /// Sends the first `length` bytes of `buffer`, which are whole frames. True when the caller
    /// should hold back until the room event.
    #[napi(catch_unwind)]
    pub fn submit(&self, buffer: &[u8], length: u32) -> bool {
        self.node.submit(buffer.get(..length as usize).unwrap_or_default())
    }

    /// Sends one payload that lies in `pieces`, one behind the other, in fragments of the frame that
    /// `header` begins. True when the caller should hold back further ones until the big room event.
    #[napi(catch_unwind)]
    pub fn submit_big(&self, header: &[u8], extension: &[u8], pieces: Vec<Uint8Array>) -> Result<bool> {
        let header = match Header::decode(header) {
            Ok(Some(header)) => header,
            _ => return Err(Error::new(Status::InvalidArg, "submitBig was given no header")),
        };
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
        Ok(self.node.submit_big(header, extension, &pieces))
    }

    /// Fills `buffer` with whole frames; gives their bytes, or the complement (`~bytes`) when there
    /// is more to drain at once.
    #[napi(catch_unwind)]
    pub fn drain(&mut self, mut buffer: BufferSlice<'_>) -> i32 {
        let drained = self.node.drain(&mut buffer);
        self.watcher.watch(self.node.watched());
        let bytes = i32::try_from(drained.bytes).unwrap_or(0);
        if drained.more { !bytes } else { bytes }
    }

    /// The payload behind a token, once. `null` when there is none (any more).
    #[napi(catch_unwind)]
    pub fn take_big<'env>(&self, env: &'env Env, token: u32) -> Result<Option<BufferSlice<'env>>> {
        let mut payload = match self.node.take_big(token) {
            Some(Big::Read(payload)) => payload,
            Some(Big::Borrowed(payload)) => return copy(env, &payload).map(Some),
            None => return Ok(None),
        };
        if payload.is_empty() {
            return BufferSlice::copy_from(env, []).map(Some);
        }
        let (bytes, length) = (payload.as_mut_ptr(), payload.len());
        // SAFETY: the bytes stay where they are until the payload is dropped, which the finalizer does; nobody else
        // has them.
        unsafe { BufferSlice::from_external(env, bytes, length, payload, |_, payload| drop(payload)) }.map(Some)
    }

    /// Sends what is queued, waits until the controller has read it, and closes, at most after `limitMs`; the closed
    /// event tells.
    #[napi(catch_unwind)]
    pub fn close(&self, limit_ms: f64) {
        self.node.close(duration(limit_ms));
    }

    /// As `close`, and blocks meanwhile: for `exit`.
    #[napi(catch_unwind)]
    pub fn close_blocking(&self, limit_ms: f64) {
        self.node.close_blocking(duration(limit_ms));
    }

    /// Figures of the link.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> NodeFigures {
        let stats = self.node.stats();
        NodeFigures {
            queued_bytes: stats.queued_bytes as f64,
            live_buffers: stats.live_buffers as f64,
            buffered_bytes: stats.buffered_bytes as f64,
            connections: stats.connections as f64,
            inline: self.inline,
            panics: panics::caught() as f64,
        }
    }
}

/// A buffer of JavaScript's own with the bytes of a payload: the collector knows of it when it is made, and frees it
/// without a turn of the event loop.
fn copy<'env>(env: &'env Env, payload: &Borrowed) -> Result<BufferSlice<'env>> {
    let (mut at, mut buffer) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: a call of Node-API on its own thread. The buffer is as long as the payload, and bytes of it are read by
    // nobody before all are written.
    unsafe {
        check_status!(sys::napi_create_buffer(env.raw(), payload.len(), &raw mut at, &raw mut buffer))?;
        payload.copy_to(std::slice::from_raw_parts_mut(at.cast(), payload.len()));
        BufferSlice::from_napi_value(env.raw(), buffer)
    }
}

/// An address as the core knows it.
pub fn address(address: &AddressDto) -> Result<Address> {
    match (&address.path, &address.host, address.port) {
        (Some(path), ..) => Ok(Address::Unix { path: path.into() }),
        (None, Some(host), Some(port)) => Ok(Address::Tcp { host: host.clone(), port }),
        _ => Err(Error::new(Status::InvalidArg, "an address needs a path, or a host and a port")),
    }
}

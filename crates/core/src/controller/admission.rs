//! From a connection to a node: let in, proved, and its name free.

use super::connection;
use super::grants::{Grant, grant_for};
use super::hub::Hub;
use super::peer::Peer;
use crate::auth::Secret;
use crate::error::CoreError;
use crate::handshake::{self, Accepted};
use crate::panics::{self, Place};
use crate::transport::{Stream, own_uid};
use daffi_protocol::control::{RegistryChange, Welcome};
use daffi_protocol::growing::welcome_frame;
use daffi_protocol::{ErrorCode, Header, Kind};
use std::collections::VecDeque;
use std::net::{IpAddr, Shutdown};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Hub {
    /// Shakes hands with a new connection and serves it to its end. `is_own` is the node of this
    /// process.
    pub async fn receive(self: Rc<Self>, stream: Stream, secret: Rc<Secret>, is_own: bool) {
        let stream = Rc::new(stream);
        let Some(visit) = self.let_in(&stream) else { return };
        let Some(stranger) = self.add_stranger(&stream) else { return };
        // Boxed, as what follows in places: its kilobytes are not to be kept for the life of the connection.
        let shaking = Box::pin(async {
            // Before TLS, which costs more than it gives away.
            tokio::time::sleep(handshake::Guesses::hold(&visit)).await;
            panics::may_happen(Place::Handshake);
            handshake::server(&stream, &secret, self.options.handshake_timeout, &visit).await
        });
        let shaken = panics::catch(shaking).await.unwrap_or_else(|| Err(panics::error()));
        self.strangers.borrow_mut().remove(stranger);
        let accepted = match shaken {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::info!(%error, "refused a connection");
                return self.publish();
            }
        };
        Box::pin(self.probe_holder(&accepted)).await;
        let is_same_user = stream.peer_uid().is_ok_and(|uid| uid == Some(own_uid()));
        let is_local = is_same_user || matches!(*secret, Secret::Cookie(_));
        let admitted = self.admit(accepted, &stream, is_local, is_own);
        self.settle();
        match admitted {
            Ok(peer) => {
                if panics::catch(connection::serve(Rc::clone(&self), Rc::clone(&peer))).await.is_none() {
                    self.fail(&peer, ErrorCode::ConnectionLost);
                    self.settle();
                }
            }
            Err(error) => {
                tracing::info!(%error, "refused a node");
                Box::pin(handshake::refuse(&stream, &error)).await;
            }
        }
    }

    /// The visit of a connection, for as long as it lasts; `None` when its address has too many.
    fn let_in(self: &Rc<Self>, stream: &Rc<Stream>) -> Option<Visit> {
        let address = stream.peer_ip();
        if let Some(address) = address
            && !self.doorman.borrow_mut().enter(address, Instant::now())
        {
            let message = "This address has as many connections as one address may have.";
            let _ = stream.try_write(&CoreError::new(ErrorCode::QuotaExceeded, message).refusal());
            return None;
        }
        Some(Visit { hub: Rc::clone(self), address })
    }

    /// Gives up the holder of a name that somebody else claims, if it does not answer a ping in time.
    async fn probe_holder(self: &Rc<Self>, accepted: &Accepted) {
        let named = self.router.borrow().registry.node_named(&accepted.name);
        let holder = named.and_then(|index| self.peers.borrow().get(&index).cloned());
        let Some(holder) = holder.filter(|holder| holder.identity.instance != accepted.instance) else { return };
        holder.expect_bytes();
        let ping = Header::new(Kind::Ping).encode();
        holder.send_runs(self, &ping, &[(0, ping.len())]);
        self.settle();
        let begun = Instant::now();
        while begun.elapsed() < PROBE && !holder.is_gone.get() {
            if holder.has_spoken() {
                return;
            }
            tokio::time::sleep(PROBE_LOOK).await;
        }
        self.fail(&holder, ErrorCode::HeartbeatLost);
        self.settle();
    }

    fn add_stranger(&self, stream: &Rc<Stream>) -> Option<u64> {
        let mut strangers = self.strangers.borrow_mut();
        let full = if self.is_stopping.get() {
            Some(CoreError::new(ErrorCode::ControllerStopped, "The controller is stopping."))
        } else if strangers.len() + self.peers.borrow().len() >= self.options.max_connections {
            Some(CoreError::new(ErrorCode::QuotaExceeded, "The controller has as many connections as it may have."))
        } else {
            None
        };
        if let Some(error) = full {
            let _ = stream.try_write(&error.refusal());
            return None;
        }
        let id = strangers.add(Rc::clone(stream), self.options.max_unauthenticated);
        drop(strangers);
        self.publish();
        Some(id)
    }

    fn admit(
        self: &Rc<Self>,
        accepted: Accepted,
        stream: &Rc<Stream>,
        is_local: bool,
        is_own: bool,
    ) -> Result<Rc<Peer>, CoreError> {
        if self.is_stopping.get() {
            return Err(CoreError::new(ErrorCode::ControllerStopped, "The controller is stopping."));
        }
        let grant = self.options.grants.as_deref().and_then(|grants| grant_for(grants, &accepted.name).cloned());
        if self.options.grants.is_some() && grant.is_none() && !is_own {
            let message = format!(
                "No grant of the controller names the node {}. Add one to its `grants`, or choose another \
                 `processName`.",
                accepted.name
            );
            return Err(CoreError::new(ErrorCode::NotPermitted, message));
        }
        let named = self.router.borrow().registry.node_named(&accepted.name);
        if let Some(index) = named {
            let holder = self.peers.borrow().get(&index).cloned();
            let holder = holder.filter(|holder| holder.identity.instance == accepted.instance);
            let Some(holder) = holder else {
                let message = format!(
                    "A node named {} is connected already. Stop it, or choose another `processName`.",
                    accepted.name
                );
                return Err(CoreError::new(ErrorCode::NameInUse, message));
            };
            self.depart(&holder, ErrorCode::ConnectionLost, true);
        }
        let name = accepted.name.clone();
        let grant = if is_own { None } else { grant };
        let (index, told) = {
            let mut router = self.router.borrow_mut();
            let index = router.join(&name, is_local);
            if let Some(grant) = &grant {
                router.restrict(index, Arc::clone(grant));
            }
            (index, router.registry.tell_all())
        };
        if is_own {
            self.own_node.replace(Some((index, name)));
        }
        let proof = accepted.controller_proof.clone();
        let peer = Peer::new(index, accepted, is_local, Rc::clone(stream));
        self.peers.borrow_mut().insert(index, Rc::clone(&peer));
        let welcome = Welcome {
            proof,
            node: index,
            controller: self.own_node.borrow().as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            max_payload: self.options.max_payload,
            heartbeat_ms: millis(self.options.heartbeat),
            dead_ms: millis(self.options.dead),
            local: is_local,
            grant: grant.as_deref().map(Grant::notice),
            registry: RegistryChange::default(),
        };
        peer.send_owned(self, welcome_frame(&welcome, &told.first).unwrap_or_default());
        told.rest.iter().for_each(|frame| peer.send_shared(self, frame));
        self.schedule_changes();
        Ok(peer)
    }
}

/// Connections that have not proved themselves, oldest first.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    streams: VecDeque<(u64, Rc<Stream>)>,
    last_id: u64,
}

impl Strangers {
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// One more, for which the oldest has to go when there are `most`; gives its id.
    fn add(&mut self, stream: Rc<Stream>, most: usize) -> u64 {
        if self.streams.len() >= most
            && let Some((_, oldest)) = self.streams.pop_front()
        {
            // Its task finds the end of the stream and ends.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        self.last_id += 1;
        self.streams.push_back((self.last_id, stream));
        self.last_id
    }

    fn remove(&mut self, stranger: u64) {
        self.streams.retain(|(id, _)| *id != stranger);
    }

    pub fn close_all(&mut self) {
        for (_, stream) in self.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection at the door, and its count.
struct Visit {
    hub: Rc<Hub>,
    address: Option<IpAddr>,
}

impl handshake::Guesses for Visit {
    fn hold(&self) -> Duration {
        self.address.map_or(Duration::ZERO, |address| self.hub.doorman.borrow().hold(address, Instant::now()))
    }

    fn failed(&self) {
        if let Some(address) = self.address {
            self.hub.doorman.borrow_mut().failed(address, Instant::now());
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.hub.doorman.borrow_mut().leave(address, Instant::now());
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long the holder of a name may take to answer when somebody else claims it (RELIABILITY F11).
const PROBE: Duration = Duration::from_secs(2);
const PROBE_LOOK: Duration = Duration::from_millis(5);

//! What nodes may do, by their names. Pure.

use super::registry::Registry;
use crate::pattern::any_names;
use daffi_protocol::control::GrantNotice;
use daffi_protocol::limits::MAX_CALLBACKS;
use daffi_protocol::{Header, Kind, flags};
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;

/// What the nodes of certain names may do. The controller's own node needs none.
#[derive(Clone, Default)]
pub struct Grant {
    /// Names of the nodes; `*` stands for any characters.
    pub nodes: Vec<String>,
    /// What these nodes have to prove, in place of the controller's token.
    pub token: Option<String>,
    /// Callbacks that they may call, and schedule.
    pub call: Names,
    /// Callbacks that they may expose.
    pub expose: Names,
    /// They may schedule calls, and ask for tasks.
    pub schedule: bool,
    /// They may send functions.
    pub transfer: bool,
    /// They may stop other nodes and cancel what others scheduled.
    pub admin: bool,
}

/// Names of callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Each.
    All,
    /// Those that one of these patterns names.
    These(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Names {
    fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(patterns) => any_names(patterns, name),
        }
    }
}

impl Grant {
    /// What its nodes are told of it.
    #[must_use]
    pub fn notice(&self) -> GrantNotice {
        let expose = match &self.expose {
            Names::All => vec!["*".into()],
            Names::These(patterns) => patterns.clone(),
        };
        GrantNotice { expose, admin: self.admin }
    }
}

impl fmt::Debug for Grant {
    /// The nodes alone: a secret is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

/// The grant of a node: the first that names it.
#[must_use]
pub fn grant_for<'a>(grants: &'a [Arc<Grant>], node: &str) -> Option<&'a Arc<Grant>> {
    grants.iter().find(|grant| any_names(&grant.nodes, node))
}

/// A node's grant, with what was looked up of it.
#[derive(Debug)]
pub(super) struct Rights {
    pub grant: Arc<Grant>,
    /// Whether it may call the callback of an id, as far as that was asked. Ids are never used again.
    callable: FxHashMap<u32, bool>,
}

impl Rights {
    pub fn new(grant: Arc<Grant>) -> Self {
        Self { grant, callable: FxHashMap::default() }
    }

    /// Whether the node may send this first frame of a call.
    pub fn allow(&mut self, header: &Header, registry: &Registry) -> bool {
        if header.kind == Kind::Transfer {
            return self.grant.transfer;
        }
        if header.callback == 0 {
            // Without reply it tells an owner of its tasks.
            return self.grant.schedule || self.grant.admin || header.flags & flags::NO_REPLY != 0;
        }
        (self.grant.schedule || !is_scheduled(header)) && self.may_call(header.callback, registry)
    }

    fn may_call(&mut self, callback: u32, registry: &Registry) -> bool {
        let Names::These(patterns) = &self.grant.call else { return true };
        if let Some(known) = self.callable.get(&callback) {
            return *known;
        }
        // Of an id that nobody knows nothing is kept: it may yet be given to a name.
        let Some(name) = registry.callback_named(callback) else { return false };
        // A generator is exposed as `*name`.
        let may = any_names(patterns, name.strip_prefix('*').unwrap_or(name));
        // Ids of callbacks that are gone would gather.
        if self.callable.len() >= MAX_CALLBACKS {
            self.callable.clear();
        }
        self.callable.insert(callback, may);
        may
    }

    /// The first of these callbacks that it may not expose.
    pub fn refused<'a>(&self, callbacks: &'a [String]) -> Option<&'a String> {
        callbacks.iter().find(|name| !self.grant.expose.contains(name.strip_prefix('*').unwrap_or(name)))
    }
}

/// Whether a request asks for a task: the flags of a stream's source, and no stream.
pub(super) const fn is_scheduled(header: &Header) -> bool {
    header.flags & (flags::SOURCE | flags::STREAM) == flags::SOURCE
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;

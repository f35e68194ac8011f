//! The graph of evidence, kept in the state, and what moves when evidence comes.

use super::owners::{Bond, Claim, Known, Version, claimed, owners};
use crate::overlay::Overlay;
use crate::{ProcessingError, codec};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Namespace of nodes.
const NODES: &str = "processing.identify.nodes";
/// Namespace of devices by the known node that they belong to: node, zero byte, device.
const DEVICES: &str = "processing.identify.devices";
/// Layout of a node; raise it with every change of the struct.
const LAYOUT: u8 = 1;
/// A known node with more bonds than this is no person's (a test address, a till's shared login): its bonds count for nothing.
pub const BONDS_MAX: usize = 64;
/// Known nodes in one component; in a larger one every node stands for itself and its claims.
const COMPONENT_MAX: usize = 256;
/// Rows that are remembered of one node.
const CLAIMS_MAX: usize = 64;
/// Nodes kept decoded between steps.
const CACHED_MAX: usize = 200_000;

/// A trace or an identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The person that it belongs to; none when it is a person of its own.
    pub owner: Option<String>,
    /// How often it moved.
    pub move_no: u64,
    /// Whether signals were sent under this trace.
    pub signals: bool,
    /// Whether it has too many bonds.
    crowd: bool,
    claims: Vec<Claim>,
    bonds: Vec<Bond>,
    /// Devices: the latest evidence.
    latest: Option<(i64, Version, String)>,
}

/// A trace that belongs to somebody else now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The trace.
    pub trace: String,
    /// Whose it was.
    pub from: String,
    /// Whose it is.
    pub to: String,
    /// Number of the move.
    pub move_no: u64,
    /// Whether its former owner has signals of it.
    pub signals: bool,
}

/// The graph.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<String, Node>,
    changed: BTreeSet<String>,
    /// What moved since the last time it was taken, in order.
    pub moves: Vec<Move>,
}

fn is_device(node: &str) -> bool {
    node.starts_with("a:")
}

fn device_key(known: &str, device: &str) -> Bytes {
    Bytes::from([known.as_bytes(), &[0], device.as_bytes()].concat())
}

impl Graph {
    fn node(&mut self, state: &Overlay, id: &str) -> Result<&mut Node, ProcessingError> {
        if !self.nodes.contains_key(id) {
            let node = match state.get(NODES, id.as_bytes())? {
                Some(bytes) => codec::decode(NODES, LAYOUT, &bytes)?,
                None => Node::default(),
            };
            self.nodes.insert(id.to_owned(), node);
        }
        Ok(self.nodes.entry(id.to_owned()).or_default())
    }

    fn change(&mut self, state: &Overlay, id: &str, with: impl FnOnce(&mut Node)) -> Result<(), ProcessingError> {
        with(self.node(state, id)?);
        if !self.changed.contains(id) {
            self.changed.insert(id.to_owned());
        }
        Ok(())
    }

    /// Whose a node is.
    pub fn owner(&mut self, state: &Overlay, id: &str) -> Result<String, ProcessingError> {
        if id.starts_with("m:") {
            return Ok(id.to_owned());
        }
        let owner = self.node(state, id)?.owner.clone();
        Ok(owner.unwrap_or_else(|| id.to_owned()))
    }

    /// Whose a trace is, for a signal that is about to be sent.
    pub fn send_to(&mut self, state: &Overlay, trace: &str) -> Result<String, ProcessingError> {
        if !trace.starts_with("m:") && !self.node(state, trace)?.signals {
            self.change(state, trace, |node| node.signals = true)?;
        }
        self.owner(state, trace)
    }

    /// Evidence that a device is somebody's.
    pub fn seen_with(
        &mut self,
        state: &mut Overlay,
        device: &str,
        known: &str,
        at: i64,
        version: Version,
    ) -> Result<(), ProcessingError> {
        let evidence = (at, version, known.to_owned());
        let before = self.node(state, device)?.latest.clone();
        if before.as_ref().is_some_and(|latest| *latest >= evidence) {
            return Ok(());
        }
        self.change(state, device, |node| node.latest = Some(evidence))?;
        let before = before.map(|(_, _, known)| known);
        if before.as_deref() != Some(known) {
            if let Some(before) = before {
                state.put(DEVICES, device_key(&before, device), None);
            }
            if !known.starts_with("m:") {
                state.put(DEVICES, device_key(known, device), Some(Bytes::new()));
            }
            self.settle_device(state, device)?;
        }
        Ok(())
    }

    /// Evidence that two known nodes are one.
    pub fn bond(&mut self, state: &Overlay, a: &str, b: &str, alias: bool, at: i64) -> Result<(), ProcessingError> {
        if a == b || self.node(state, a)?.crowd || self.node(state, b)?.crowd {
            return Ok(());
        }
        let mut crowded = Vec::new();
        let mut news = false;
        for (one, other) in [(a, b), (b, a)] {
            let node = self.node(state, one)?;
            match node.bonds.iter_mut().find(|bond| bond.to == other) {
                Some(bond) if bond.at >= at && (bond.alias || !alias) => continue,
                Some(bond) => {
                    bond.at = bond.at.max(at);
                    bond.alias |= alias;
                }
                None => node.bonds.push(Bond { to: other.to_owned(), alias, at }),
            }
            if node.bonds.len() > BONDS_MAX {
                crowded.push(one);
            }
            news = true;
            self.change(state, one, |_| {})?;
        }
        for one in crowded {
            self.disband(state, one)?;
        }
        if news { self.settle(state, a).and_then(|()| self.settle(state, b)) } else { Ok(()) }
    }

    /// A node with too many bonds loses them all.
    fn disband(&mut self, state: &Overlay, id: &str) -> Result<(), ProcessingError> {
        let bonds = std::mem::take(&mut self.node(state, id)?.bonds);
        self.change(state, id, |node| node.crowd = true)?;
        for bond in &bonds {
            self.change(state, &bond.to, |node| node.bonds.retain(|back| back.to != id))?;
        }
        for bond in &bonds {
            self.settle(state, &bond.to)?;
        }
        Ok(())
    }

    /// A row of the store claims a node for a member, or does so no more.
    pub fn claim(&mut self, state: &Overlay, id: &str, claim: Claim) -> Result<(), ProcessingError> {
        let node = self.node(state, id)?;
        let before = claimed(&node.claims);
        match node.claims.iter_mut().find(|known| known.row == claim.row) {
            Some(known) if known.version >= claim.version => return Ok(()),
            Some(known) => *known = claim,
            None => node.claims.push(claim),
        }
        if node.claims.len() > CLAIMS_MAX
            && let Some(oldest) = (0..node.claims.len()).min_by_key(|i| (node.claims[*i].live, node.claims[*i].version))
        {
            node.claims.remove(oldest);
        }
        let news = claimed(&node.claims) != before;
        self.change(state, id, |_| {})?;
        match (news, is_device(id)) {
            (false, _) => Ok(()),
            (true, true) => self.settle_device(state, id),
            (true, false) => self.settle(state, id),
        }
    }

    /// Works out the owners of a known node's component again.
    fn settle(&mut self, state: &Overlay, id: &str) -> Result<(), ProcessingError> {
        let component = self.component(state, id)?;
        let owned = if component.len() > COMPONENT_MAX {
            let claims = &self.nodes[id].claims;
            BTreeMap::from([(
                id.to_owned(),
                claimed(claims).map_or_else(|| id.to_owned(), |member| format!("m:{member}")),
            )])
        } else {
            let known = |id: &String| {
                let node = &self.nodes[id];
                Known { claims: &node.claims, bonds: &node.bonds }
            };
            owners(&component.iter().map(|id| (id.as_str(), known(id))).collect())
        };
        for (node, owner) in owned {
            if self.moved(state, &node, owner)? {
                let prefix = device_key(&node, "");
                for (key, _) in state.scan(DEVICES, &prefix)? {
                    if let Ok(device) = std::str::from_utf8(&key[prefix.len()..]) {
                        self.settle_device(state, device)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn component(&mut self, state: &Overlay, id: &str) -> Result<BTreeSet<String>, ProcessingError> {
        let mut found = BTreeSet::from([id.to_owned()]);
        let mut open = VecDeque::from([id.to_owned()]);
        while let Some(next) = open.pop_front() {
            let bonds: Vec<String> = self.node(state, &next)?.bonds.iter().map(|bond| bond.to.clone()).collect();
            for to in bonds {
                if found.len() <= COMPONENT_MAX && found.insert(to.clone()) {
                    open.push_back(to);
                }
            }
        }
        for id in &found {
            self.node(state, id)?;
        }
        Ok(found)
    }

    fn settle_device(&mut self, state: &Overlay, device: &str) -> Result<(), ProcessingError> {
        let node = self.node(state, device)?;
        let (member, latest) = (claimed(&node.claims), node.latest.clone());
        let owner = match (member, latest) {
            (Some(member), _) => format!("m:{member}"),
            (None, Some((_, _, known))) => self.owner(state, &known)?,
            (None, None) => device.to_owned(),
        };
        self.moved(state, device, owner).map(|_| ())
    }

    /// Sets a node's owner; true when it is another one than before.
    fn moved(&mut self, state: &Overlay, id: &str, owner: String) -> Result<bool, ProcessingError> {
        let from = self.owner(state, id)?;
        if from == owner {
            return Ok(false);
        }
        let (mut move_no, mut signals) = (0, false);
        self.change(state, id, |node| {
            node.owner = (owner != id).then(|| owner.clone());
            node.move_no += 1;
            (move_no, signals) = (node.move_no, node.signals);
        })?;
        self.moves.push(Move { trace: id.to_owned(), from, to: owner, move_no, signals });
        Ok(true)
    }

    /// Writes changed nodes to the state of the step.
    pub fn flush(&mut self, state: &mut Overlay) -> Result<(), ProcessingError> {
        for id in std::mem::take(&mut self.changed) {
            if let Some(node) = self.nodes.get(&id) {
                state.put(NODES, Bytes::copy_from_slice(id.as_bytes()), Some(codec::encode(NODES, LAYOUT, node)?));
            }
        }
        Ok(())
    }

    /// After a commit: starts an empty cache when it is too large.
    pub fn trim(&mut self) {
        if self.nodes.len() > CACHED_MAX {
            self.nodes.clear();
        }
    }

    /// Forgets everything that is not committed.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.changed.clear();
        self.moves.clear();
    }
}

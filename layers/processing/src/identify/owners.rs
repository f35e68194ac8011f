//! Who a trace belongs to: a function of the set of evidence, not of the order in which it came.
//!
//! *Known* nodes are members (`m:`), user ids (`u:`) and contact tokens (`c:`). Between them stand two kinds of evidence: claims
//! (a row of the store says that this identity is that member's; the newest row wins) and bonds (somebody said that two are one).
//! A component is formed by taking bonds from the strongest to the weakest, aliases before the rest, later before earlier; a bond
//! that would bring two members together is left out. A component is its member, else its smallest user id, else its smallest
//! contact.
//!
//! *Devices* (`a:`) belong to the member that a row claims them for, else to whatever the latest evidence links them to. They
//! never link two people with each other: a shared device is not a marriage.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// `(lsn, seq)` of a change.
pub type Version = (u64, u64);

/// A row of the store that gives an identity to a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The row.
    pub row: Uuid,
    /// The member.
    pub member: Uuid,
    /// Version of the change.
    pub version: Version,
    /// Weaker than others: a number that is also used as a user id.
    pub weak: bool,
    /// Whether the row still says so.
    pub live: bool,
}

/// Somebody said that two known nodes are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The other one.
    pub to: String,
    /// Whether it was said by an alias call.
    pub alias: bool,
    /// When it was last said.
    pub at: i64,
}

/// What the claims of one node come to: the member of the newest live row, real identities before numbers.
pub fn claimed(claims: &[Claim]) -> Option<Uuid> {
    let live = claims.iter().filter(|claim| claim.live);
    live.max_by_key(|claim| (!claim.weak, claim.version, claim.row)).map(|claim| claim.member)
}

/// One known node with its evidence.
pub struct Known<'a> {
    /// Claims on it.
    pub claims: &'a [Claim],
    /// Bonds from it.
    pub bonds: &'a [Bond],
}

/// User ids before contacts, then by text.
fn rank(node: &str) -> (u8, &str) {
    (u8::from(!node.starts_with("u:")), node)
}

/// The owner of each node of a connected set of known nodes.
pub fn owners(nodes: &BTreeMap<&str, Known<'_>>) -> BTreeMap<String, String> {
    let names: Vec<&str> = nodes.keys().copied().collect();
    let place: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let mut group: Vec<usize> = (0..names.len()).collect();
    let mut member: Vec<Option<Uuid>> = nodes.values().map(|known| claimed(known.claims)).collect();
    let mut bonds: Vec<(bool, i64, usize, usize)> = Vec::new();
    for (name, known) in nodes {
        for bond in known.bonds {
            if let (Some(&a), Some(&b)) = (place.get(name), place.get(bond.to.as_str()))
                && a < b
            {
                bonds.push((bond.alias, bond.at, a, b));
            }
        }
    }
    bonds.sort_unstable_by(|x, y| y.cmp(x));
    for (_, _, a, b) in bonds {
        let (a, b) = (group[a], group[b]);
        let united = match (member[a], member[b]) {
            (Some(x), Some(y)) if x != y => continue,
            (x, y) => x.or(y),
        };
        if a != b {
            group.iter_mut().filter(|of| **of == b).for_each(|of| *of = a);
            member[a] = united;
        }
    }
    let mut smallest: BTreeMap<usize, &str> = BTreeMap::new();
    for (name, of) in names.iter().zip(&group) {
        let least = smallest.entry(*of).or_insert(name);
        if rank(name) < rank(least) {
            *least = name;
        }
    }
    let owner = |of: usize| member[of].map_or_else(|| smallest[&of].to_owned(), |member| format!("m:{member}"));
    names.iter().zip(&group).map(|(name, of)| ((*name).to_owned(), owner(*of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond(to: &str, alias: bool, at: i64) -> Bond {
        Bond { to: to.to_owned(), alias, at }
    }

    fn claim(member: u128, version: u64, live: bool) -> Claim {
        let member = Uuid::from_u128(member);
        Claim { row: Uuid::from_u128(u128::from(version)), member, version: (version, 0), weak: false, live }
    }

    fn owner(nodes: &[(&str, &[Claim], &[Bond])], of: &str) -> String {
        let nodes = nodes.iter().map(|(name, claims, bonds)| (*name, Known { claims, bonds })).collect();
        owners(&nodes)[of].clone()
    }

    #[test]
    fn a_component_is_its_member_else_its_smallest_user_id() {
        let (to_c, to_u) = ([bond("c:email:x", false, 1)], [bond("u:1", false, 1)]);
        assert_eq!(owner(&[("u:1", &[], &to_c), ("c:email:x", &[], &to_u)], "c:email:x"), "u:1");
        let member = [claim(7, 1, true)];
        let name = format!("m:{}", Uuid::from_u128(7));
        assert_eq!(owner(&[("u:1", &[], &to_c), ("c:email:x", &member, &to_u)], "u:1"), name);
        let gone = [claim(7, 2, false)];
        assert_eq!(owner(&[("u:1", &[], &to_c), ("c:email:x", &gone, &to_u)], "u:1"), "u:1");
    }

    #[test]
    fn two_members_never_become_one_and_the_later_bond_wins() {
        let (one, two) = ([claim(1, 1, true)], [claim(2, 1, true)]);
        let of_u = [bond("c:email:x", false, 5), bond("c:email:y", false, 9)];
        let (x, y) = ([bond("u:1", false, 5)], [bond("u:1", false, 9)]);
        let nodes: [(&str, &[Claim], &[Bond]); 3] =
            [("u:1", &[], &of_u), ("c:email:x", &one, &x), ("c:email:y", &two, &y)];
        assert_eq!(owner(&nodes, "u:1"), format!("m:{}", Uuid::from_u128(2)));
        assert_eq!(owner(&nodes, "c:email:x"), format!("m:{}", Uuid::from_u128(1)));
    }
}

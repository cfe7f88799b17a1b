//! Whom a sealed lane lets in, as `camlane.Policy` says it.

use camlane::Policy;
use pyo3::prelude::*;

/// The fields of `camlane/_types.py`'s `Policy`.
#[derive(FromPyObject)]
pub(crate) struct Admission {
    users: Vec<u32>,
    groups: Vec<u32>,
    anybody: bool,
    observers: bool,
    seats_per_user: Option<u32>,
    connections: Option<u32>,
    connections_per_user: Option<u32>,
}

impl From<Admission> for Policy {
    fn from(from: Admission) -> Self {
        let mut policy = from.users.into_iter().fold(Self::default(), Self::user);
        policy = from.groups.into_iter().fold(policy, Self::group);
        policy = if from.anybody { policy.anybody() } else { policy };
        policy = if from.observers { policy.observers() } else { policy };
        for (value, with) in [
            (from.seats_per_user, Self::seats_per_user as fn(Self, u32) -> Self),
            (from.connections, Self::connections),
            (from.connections_per_user, Self::connections_per_user),
        ] {
            policy = value.map_or(policy.clone(), |value| with(policy, value));
        }
        policy
    }
}

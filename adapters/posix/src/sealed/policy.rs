//! Whom a sealed lane lets in.

use nix::sys::socket::UnixCredentials;

/// Whom a sealed lane lets in. By default: the producer's own user and root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    users: Vec<u32>,
    groups: Vec<u32>,
    anybody: bool,
    observers: bool,
    seats_per_user: u32,
    connections: u32,
    connections_per_user: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            users: vec![0, nix::unistd::geteuid().as_raw()],
            groups: Vec::new(),
            anybody: false,
            observers: false,
            seats_per_user: u32::MAX,
            connections: 256,
            connections_per_user: 64,
        }
    }
}

impl Policy {
    /// Lets a user in, by the number that user has where the producer runs.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.users.push(uid);
        self
    }

    /// Lets processes in whose primary group this is.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.groups.push(gid);
        self
    }

    /// Lets everybody in who can reach the socket.
    #[must_use]
    pub const fn anybody(mut self) -> Self {
        self.anybody = true;
        self
    }

    /// Lets everybody observe, whoever may pin.
    #[must_use]
    pub const fn observers(mut self) -> Self {
        self.observers = true;
        self
    }

    /// Seats that one user may take, so that nobody can shut the others out.
    #[must_use]
    pub const fn seats_per_user(mut self, seats: u32) -> Self {
        self.seats_per_user = seats;
        self
    }

    /// Connections in all, besides those that have a seat; where none is left, the oldest that has not said who it is
    /// makes room, or the new one is closed at once.
    #[must_use]
    pub const fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Connections that one user may have, besides those that have a seat, so that nobody can shut the others out.
    #[must_use]
    pub const fn connections_per_user(mut self, connections: u32) -> Self {
        self.connections_per_user = connections;
        self
    }

    pub(super) const fn most_connections(&self) -> u32 {
        self.connections
    }

    pub(super) const fn most_connections_of_user(&self) -> u32 {
        self.connections_per_user
    }

    pub(super) fn admits(&self, who: UnixCredentials, pins: bool, seats_of_user: u32) -> bool {
        let known = self.anybody || self.users.contains(&who.uid()) || self.groups.contains(&who.gid());
        if pins { known && seats_of_user < self.seats_per_user } else { known || self.observers }
    }

    /// Mode of the socket file: the kernel asks for write permission at `connect`, the policy decides after that.
    pub(super) fn socket_mode(&self) -> u32 {
        let us = [0, nix::unistd::geteuid().as_raw()];
        let only_us = self.groups.is_empty() && self.users.iter().all(|user| us.contains(user));
        if only_us && !self.anybody && !self.observers { 0o600 } else { 0o666 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nobody_else(Policy::default(), 0o600)]
    #[case::who_is_in_anyway(Policy::default().user(0), 0o600)]
    #[case::a_user(Policy::default().user(4242), 0o666)]
    #[case::a_group(Policy::default().group(4242), 0o666)]
    #[case::anybody(Policy::default().anybody(), 0o666)]
    #[case::observers(Policy::default().observers(), 0o666)]
    fn the_socket_is_open_to_whom_the_policy_may_admit(#[case] policy: Policy, #[case] mode: u32) {
        assert_eq!(policy.socket_mode(), mode);
    }
}

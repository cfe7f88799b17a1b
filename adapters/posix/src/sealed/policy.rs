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
        }
    }
}

impl Policy {
    /// Lets a user in.
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

    /// Connections in all; one more is closed at once.
    #[must_use]
    pub const fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    pub(super) const fn most_connections(&self) -> u32 {
        self.connections
    }

    pub(super) fn admits(&self, who: UnixCredentials, pins: bool, seats_of_user: u32) -> bool {
        let known = self.anybody || self.users.contains(&who.uid()) || self.groups.contains(&who.gid());
        if pins { known && seats_of_user < self.seats_per_user } else { known || self.observers }
    }

    /// Mode of the socket file: the kernel asks for write permission at `connect`, the policy decides after that.
    pub(super) const fn socket_mode(&self) -> u32 {
        if self.anybody || self.observers {
            0o666
        } else if self.groups.is_empty() && self.users.len() <= 2 {
            0o600
        } else {
            0o666
        }
    }
}

//! Who may join a sealed lane, and whose sealed lane one joins.

use camlane::{ConsumerOptions, Policy};
use clap::Args;
use nix::unistd::{Group, User};

use crate::commands::Usage;
use crate::commands::header24::Target;

/// Whom a sealed lane lets in, besides the user who publishes it and root.
#[derive(Debug, Args)]
pub(crate) struct Admission {
    /// Make a sealed lane, as sealed:NAME does: readers cannot harm it or each other
    #[arg(long, help_heading = "Sealed lanes")]
    sealed: bool,
    /// Let this user read, by name or number; can be given several times
    #[arg(long, value_name = "USER", value_parser = user, help_heading = "Sealed lanes")]
    allow_user: Vec<u32>,
    /// Let those read whose primary group this is, by name or number; can be given several times
    #[arg(long, value_name = "GROUP", value_parser = group, help_heading = "Sealed lanes")]
    allow_group: Vec<u32>,
    /// Let everybody read who can reach the socket
    #[arg(long, help_heading = "Sealed lanes")]
    allow_anybody: bool,
    /// Let everybody observe: copy frames, hold none
    #[arg(long, help_heading = "Sealed lanes")]
    allow_observers: bool,
    /// Seats that one user may take, so that nobody can shut the others out
    #[arg(long, value_name = "N", help_heading = "Sealed lanes")]
    seats_per_user: Option<u32>,
}

impl Admission {
    /// Turns the lane into a sealed one if that was asked for, and returns its policy. `None`: the lane is none, and its
    /// files have modes instead.
    ///
    /// # Errors
    /// [`Usage`] if options are those of the other kind.
    pub(crate) fn settle(&self, target: &mut Target, has_mode: bool) -> anyhow::Result<Option<Policy>> {
        let Self { sealed, allow_user, allow_group, allow_anybody, allow_observers, seats_per_user } = self;
        let wrong = |text: String| Err(Usage(text).into());
        if let Target::Lane(lane) = target
            && *sealed
            && lane.socket().is_none()
        {
            *lane = format!("sealed:{lane}").parse()?;
        }
        let is_sealed = matches!(target, Target::Lane(lane) if lane.socket().is_some());
        let admits = !allow_user.is_empty() || !allow_group.is_empty() || *allow_anybody || *allow_observers;
        if !is_sealed && (*sealed || admits || seats_per_user.is_some()) {
            let how = "--group and --everyone open it to others";
            return wrong(match target {
                Target::Lane(_) => {
                    format!("{target} is a named lane: {how}; --sealed makes it one that chooses")
                }
                Target::Header24(_) => {
                    format!("{target} is an old program's object and cannot be sealed: {how}")
                }
            });
        }
        if is_sealed && has_mode {
            return wrong(format!(
                "{target} is sealed: --allow-group and --allow-observers open it to others"
            ));
        }
        if !is_sealed {
            return Ok(None);
        }
        let mut policy = Policy::default();
        policy = allow_user.iter().fold(policy, |policy, &uid| policy.user(uid));
        policy = allow_group.iter().fold(policy, |policy, &gid| policy.group(gid));
        if *allow_anybody {
            policy = policy.anybody();
        }
        if *allow_observers {
            policy = policy.observers();
        }
        Ok(Some(match seats_per_user {
            Some(seats) => policy.seats_per_user(*seats),
            None => policy,
        }))
    }
}

/// Whose frames a reader believes.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// Read a sealed lane that this user publishes, by name or number; else it must be your own or root's
    #[arg(long, value_name = "USER", value_parser = user)]
    trust_user: Vec<u32>,
}

impl Trust {
    pub(crate) fn of(&self, options: ConsumerOptions) -> ConsumerOptions {
        self.trust_user.iter().fold(options, |options, &uid| options.trust_user(uid))
    }
}

fn user(text: &str) -> Result<u32, String> {
    match (text.parse(), User::from_name(text)) {
        (Ok(number), _) => Ok(number),
        (_, Ok(Some(user))) => Ok(user.uid.as_raw()),
        _ => Err("there is no such user; give a name or a number".to_owned()),
    }
}

fn group(text: &str) -> Result<u32, String> {
    match (text.parse(), Group::from_name(text)) {
        (Ok(number), _) => Ok(number),
        (_, Ok(Some(group))) => Ok(group.gid.as_raw()),
        _ => Err("there is no such group; give a name or a number".to_owned()),
    }
}

//! A shared-memory object that goes when its maker goes.

use std::os::fd::OwnedFd;

use nix::sys::stat::Mode;

use crate::error::Error;
use crate::fork::Owner;
use crate::shm;

/// An object of this process: under a temporary name while it is made, then under its final one. Dropping it removes
/// whichever it has, unless another object has that name by now.
///
/// **Crash safety:** what remains under the temporary name is removed by the next who makes the same object.
#[derive(Debug)]
pub(crate) struct Object {
    name: String,
    pub(crate) fd: OwnedFd,
    owner: Owner,
}

impl Object {
    /// Makes an object of `len` zero bytes that shall get `name`. The caller holds the lane's lock, so that nobody else
    /// makes the same one.
    pub(crate) fn stage(name: &str, len: u64, mode: Mode, huge_pages: bool) -> Result<Self, Error> {
        let name = staged(name);
        shm::unlink(&name)?;
        Ok(Self { fd: shm::create(&name, len, mode, huge_pages)?, name, owner: Owner::current() })
    }

    /// The name it has now.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives the complete object its final name, at once instead of any object that had it.
    pub(crate) fn publish(&mut self, name: &str) -> Result<(), Error> {
        if !shm::rename(&self.name, &self.fd, name)? {
            return Err(Error::System {
                operation: "find",
                object: self.name.clone(),
                source: std::io::Error::other(format!(
                    "shared-memory objects are not files in {} here, which camlane needs",
                    shm::SHM_DIR
                )),
            });
        }
        name.clone_into(&mut self.name);
        Ok(())
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if self.owner.is_here()
            && shm::inode(&self.fd).ok() == shm::inode_of_name(&self.name)
            && let Err(error) = shm::unlink(&self.name)
        {
            log::warn!("{error}");
        }
    }
}

/// The temporary name of an object.
pub(crate) fn staged(name: &str) -> String {
    format!("{name}.new")
}

//! The cameras of this machine, found by what they can do, not by their numbers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::device::{Device, Identity};
use crate::error::Error;

/// A camera that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its device node, whose number may change with every start of the machine.
    pub path: PathBuf,
    /// Who it says that it is.
    pub identity: Identity,
    /// The name of the node in sysfs, `vivid-000-vid-cap`; empty if there is none.
    pub node: String,
    /// Names under `/dev/v4l/by-id` and `/dev/v4l/by-path`, which stay.
    pub links: Vec<PathBuf>,
    /// Tells whether it speaks the multi-planar interface.
    pub multiplanar: bool,
}

/// Lists the cameras that this user may open, by the number of their nodes.
#[must_use]
pub fn cameras() -> Vec<Found> {
    let mut nodes: Vec<(u32, PathBuf)> = entries(Path::new("/dev"))
        .filter_map(|path| {
            let number = path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    nodes.sort_unstable();
    let links: Vec<_> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .iter()
        .flat_map(|folder| entries(Path::new(folder)))
        .filter_map(|link| Some((fs::canonicalize(&link).ok()?, link)))
        .collect();
    let look = |(_, path): (u32, PathBuf)| {
        let device = Device::open(&path).inspect_err(|error| log::debug!("{error}")).ok()?;
        let links = links.iter().filter(|(to, _)| *to == path).map(|(_, link)| link.clone()).collect();
        let sysfs = Path::new("/sys/class/video4linux").join(path.file_name()?).join("name");
        let node = fs::read_to_string(sysfs).unwrap_or_default().trim().to_owned();
        let multiplanar = device.is_multiplanar();
        Some(Found { identity: device.identity().clone(), node, links, multiplanar, path })
    };
    nodes.into_iter().filter_map(look).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

pub(crate) fn names() -> Vec<String> {
    cameras().iter().map(|found| format!("{} ({})", found.path.display(), found.identity.name)).collect()
}

/// Finds a camera by its node or a link to it, its name or a part of it, its place on the bus, or its link's last part.
///
/// # Errors
/// [`Error::NoSuchCamera`] if there is none, or several are meant; it lists those that there are.
pub fn find(wanted: &str) -> Result<PathBuf, Error> {
    if wanted.starts_with('/') {
        return Ok(wanted.into()); // a link is kept: after an unplug it may lead elsewhere
    }
    let all = cameras();
    let pick = pick(&all, wanted).map(|found| found.path.clone());
    pick.ok_or_else(|| Error::NoSuchCamera { wanted: wanted.to_owned(), cameras: names() })
}

/// The one camera that a word means: exactly its name, bus, node or link before a part of its name.
fn pick<'a>(all: &'a [Found], wanted: &str) -> Option<&'a Found> {
    let exact = |found: &&Found| {
        let link = |link: &PathBuf| link.file_name().is_some_and(|name| name == wanted);
        [&found.identity.name, &found.identity.bus, &found.node].iter().any(|own| *own == wanted)
            || found.links.iter().any(link)
    };
    let wanted_small = wanted.to_lowercase();
    let part = |found: &&Found| found.identity.name.to_lowercase().contains(&wanted_small);
    let mut exactly = all.iter().filter(exact);
    let mut partly = all.iter().filter(part);
    match (exactly.next(), partly.next()) {
        (Some(one), _) => exactly.next().is_none().then_some(one),
        (None, Some(one)) => partly.next().is_none().then_some(one),
        (None, None) => None,
    }
}

impl Identity {
    /// Finds the same camera again after it was unplugged, maybe under another number: at the same place on the bus, else
    /// the only one of its name that is not among the `others`, which were there before.
    #[must_use]
    pub fn find_again(&self, others: &[Self]) -> Option<PathBuf> {
        find_again(self, others, &cameras())
    }
}

fn find_again(lost: &Identity, others: &[Identity], all: &[Found]) -> Option<PathBuf> {
    let same = all.iter().find(|found| found.identity == *lost);
    let mut alike = all.iter().filter(|found| {
        let Identity { name, driver, .. } = &found.identity;
        (name, driver) == (&lost.name, &lost.driver) && !others.contains(&found.identity)
    });
    let only = alike.next().filter(|_| alike.next().is_none());
    same.or(only).map(|found| found.path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn found(number: u32, name: &str, bus: &str, link: &str) -> Found {
        let driver = "uvcvideo";
        let identity = Identity { name: name.into(), driver: driver.into(), bus: bus.into() };
        let links = vec![Path::new("/dev/v4l/by-id").join(link)];
        let (path, node) = (format!("/dev/video{number}").into(), format!("{driver}-{number}"));
        Found { path, identity, node, links, multiplanar: false }
    }

    fn machine() -> Vec<Found> {
        vec![
            found(0, "Integrated Camera", "usb-1", "usb-Acme_Integrated-index0"),
            found(2, "HD Webcam", "usb-2", "usb-Acme_HD_A1-index0"),
            found(4, "HD Webcam", "usb-3", "usb-Acme_HD_B2-index0"),
            found(6, "HD Webcam Pro", "usb-4", "usb-Acme_Pro-index0"),
        ]
    }

    #[rstest]
    #[case::name("Integrated Camera", Some(0))]
    #[case::part_of_a_name("integrated", Some(0))]
    #[case::place("usb-3", Some(4))]
    #[case::node("uvcvideo-4", Some(4))]
    #[case::link("usb-Acme_HD_A1-index0", Some(2))]
    #[case::a_name_of_two("HD Webcam", None)]
    #[case::a_part_of_three("webcam", None)]
    #[case::the_part_that_only_one_has("pro", Some(6))]
    #[case::nobody("ffmpeg", None)]
    fn a_word_means_one_camera_or_none(#[case] word: &str, #[case] number: Option<u32>) {
        let expected = number.map(|number| PathBuf::from(format!("/dev/video{number}")));
        assert_eq!(pick(&machine(), word).map(|found| found.path.clone()), expected);
    }

    #[test]
    fn a_camera_is_known_again_by_its_place_and_else_by_its_name() {
        let all = machine();
        let mut lost = all[2].identity.clone();
        assert_eq!(find_again(&lost, &[], &all), Some("/dev/video4".into()));
        lost.bus = "usb-9".into();
        assert_eq!(find_again(&lost, &[], &all), None, "two have its name");
        assert_eq!(find_again(&lost, &[all[1].identity.clone()], &all), Some("/dev/video4".into()));
        let mut lost = all[0].identity.clone();
        lost.bus = "usb-9".into();
        assert_eq!(find_again(&lost, &[], &all), Some("/dev/video0".into()));
        assert_eq!(find_again(&lost, &[all[0].identity.clone()], &all), None, "that one was there before");
        lost.name = "another".into();
        assert_eq!(find_again(&lost, &[], &all), None);
    }
}

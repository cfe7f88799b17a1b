//! What a camera offers, and the choice among it. The choice is pure: it is tested without a camera.

use camlane_core::{FourCc, PixelFormat};

/// A format that a camera has, with its sizes and rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The driver's code.
    pub fourcc: FourCc,
    /// camlane's number; `None` if it does not know the code.
    pub format: Option<PixelFormat>,
    /// The driver's words.
    pub description: String,
    /// Made by a library in the program rather than by the camera.
    pub emulated: bool,
    /// Its sizes.
    pub sizes: Sizes,
}

/// Sizes of a format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sizes {
    /// The driver does not say.
    Unknown,
    /// These.
    Discrete(Vec<Mode>),
    /// All on a grid.
    Range {
        /// The smallest.
        least: (u32, u32),
        /// The largest.
        most: (u32, u32),
        /// From one to the next.
        step: (u32, u32),
        /// Rates of the largest.
        rates: Rates,
    },
}

/// A size with its rates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mode {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Its rates.
    pub rates: Rates,
}

/// Frames per second, as fractions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rates {
    /// The driver does not say.
    Unknown,
    /// These.
    Discrete(Vec<(u32, u32)>),
    /// All between two.
    Range {
        /// The slowest.
        slowest: (u32, u32),
        /// The fastest.
        fastest: (u32, u32),
    },
}

/// What the user asks for. What is not asked for is taken nearest to 1280x720 at 30 frames per second, raw if a raw format
/// is as good.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Formats, the most welcome first; empty: any that camlane knows.
    pub formats: Vec<PixelFormat>,
    /// The driver's own code instead: to choose between `NV12` and `NM12`, or what camlane does not know.
    pub fourcc: Option<FourCc>,
    /// Width and height in pixels.
    pub size: Option<(u32, u32)>,
    /// Frames per second as a fraction.
    pub rate: Option<(u32, u32)>,
    /// Rows that begin at multiples of so many bytes, from drivers that can; others say what they have. 0: any.
    pub row_align: u32,
}

/// What to ask the driver for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Choice {
    pub(crate) fourcc: FourCc,
    pub(crate) size: (u32, u32),
    pub(crate) rate: (u32, u32),
}

const USUAL_SIZE: (u32, u32) = (1280, 720);
const USUAL_RATE: (u32, u32) = (30, 1);

/// Chooses from what is offered: the formats' order first, if the user gave one; then the nearest size, then the nearest
/// rate, then raw before compressed. `None`: none of the formats is offered.
pub(crate) fn choose(offers: &[Offer], wish: &Wish) -> Option<Choice> {
    let (size, rate) = (wish.size.unwrap_or(USUAL_SIZE), wish.rate.unwrap_or(USUAL_RATE));
    let mut best: Option<((usize, u64, u64, u32), Choice)> = None;
    for offer in offers.iter().filter(|offer| !offer.emulated) {
        let known = offer.format.filter(|_| wish.fourcc.is_none_or(|code| code == offer.fourcc));
        let exactly = wish.fourcc == Some(offer.fourcc);
        let Some(format) = known.or(exactly.then_some(PixelFormat::OPAQUE)) else { continue };
        let place = match wish.formats.iter().position(|wanted| *wanted == format) {
            _ if exactly => 0,
            Some(place) => place,
            None if wish.formats.is_empty() => 0,
            None => continue,
        };
        for (found, rates) in nearby(&offer.sizes, size) {
            let found_rate = rates.nearest(rate);
            let off = u64::from(found.0.abs_diff(size.0)) + u64::from(found.1.abs_diff(size.1));
            let rank = (place, off, difference(found_rate, rate), trouble(format));
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, Choice { fourcc: offer.fourcc, size: found, rate: found_rate }));
            }
        }
    }
    best.map(|(_, choice)| choice)
}

/// The sizes to look at, with their rates.
fn nearby(sizes: &Sizes, wanted: (u32, u32)) -> Vec<((u32, u32), &Rates)> {
    match sizes {
        Sizes::Unknown => vec![(wanted, &Rates::Unknown)],
        Sizes::Discrete(modes) => modes.iter().map(|mode| (mode.size, &mode.rates)).collect(),
        Sizes::Range { least, most, step, rates } => {
            let fit = |wanted: u32, least: u32, most: u32, step: u32| {
                let steps = (wanted.clamp(least, most.max(least)) - least) / step.max(1);
                least + steps * step.max(1)
            };
            let size = (fit(wanted.0, least.0, most.0, step.0), fit(wanted.1, least.1, most.1, step.1));
            vec![(size, rates)]
        }
    }
}

impl Rates {
    /// The rate nearest to one; that one itself if nothing is known.
    fn nearest(&self, wanted: (u32, u32)) -> (u32, u32) {
        match self {
            Self::Unknown => wanted,
            Self::Discrete(rates) => {
                rates.iter().copied().min_by_key(|rate| difference(*rate, wanted)).unwrap_or(wanted)
            }
            Self::Range { slowest, fastest } => {
                if per_second(wanted) > per_second(*fastest) {
                    *fastest
                } else if per_second(wanted) < per_second(*slowest) {
                    *slowest
                } else {
                    wanted
                }
            }
        }
    }
}

fn per_second((frames, seconds): (u32, u32)) -> f64 {
    f64::from(frames) / f64::from(seconds.max(1))
}

/// How far two rates are apart, in thousandths of a frame per second.
fn difference(a: (u32, u32), b: (u32, u32)) -> u64 {
    ((per_second(a) - per_second(b)).abs() * 1000.0).round() as u64
}

/// Work that a format makes for its readers: colour and grey by bytes, deep samples, Bayer, compressed pictures.
fn trouble(format: PixelFormat) -> u32 {
    match format.0 >> 8 {
        0x03..=0x05 => 0,
        0x01 | 0x02 => 1,
        0x06 | 0x07 => 2,
        _ if format == PixelFormat::JPEG => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlane_core::PixelFormat as F;
    use rstest::rstest;

    fn offer(code: &[u8; 4], sizes: Sizes) -> Offer {
        let fourcc = FourCc::new(code);
        let format = PixelFormat::from_v4l2(fourcc);
        Offer { fourcc, format, description: String::new(), emulated: false, sizes }
    }

    fn modes(modes: &[((u32, u32), &[u32])]) -> Sizes {
        let mode = |&(size, rates): &((u32, u32), &[u32])| Mode {
            size,
            rates: Rates::Discrete(rates.iter().map(|&rate| (rate, 1)).collect()),
        };
        Sizes::Discrete(modes.iter().map(mode).collect())
    }

    /// A USB camera, as most are: raw pictures are slow when they are large.
    fn webcam() -> Vec<Offer> {
        vec![
            offer(
                b"MJPG",
                modes(&[((1920, 1080), &[30, 15]), ((1280, 720), &[60, 30]), ((640, 480), &[30])]),
            ),
            offer(b"YUYV", modes(&[((1920, 1080), &[5]), ((1280, 720), &[10]), ((640, 480), &[30, 15])])),
            offer(b"ZZZZ", modes(&[((1280, 720), &[30])])),
        ]
    }

    fn wish(formats: &[F], size: Option<(u32, u32)>, rate: Option<(u32, u32)>) -> Wish {
        Wish { formats: formats.to_vec(), fourcc: None, size, rate, row_align: 0 }
    }

    #[rstest]
    #[case::nothing_asked(wish(&[], None, None), b"MJPG", (1280, 720), (30, 1))]
    #[case::raw_where_it_is_fast_enough(wish(&[], Some((640, 480)), None), b"YUYV", (640, 480), (30, 1))]
    #[case::raw_where_slow_will_do(wish(&[], Some((1920, 1080)), Some((5, 1))), b"YUYV", (1920, 1080), (5, 1))]
    #[case::a_format_is_a_format(wish(&[F::YUYV], None, None), b"YUYV", (1280, 720), (10, 1))]
    #[case::the_second_choice(wish(&[F::NV12, F::JPEG], None, Some((60, 1))), b"MJPG", (1280, 720), (60, 1))]
    #[case::the_order_counts_before_the_rate(wish(&[F::YUYV, F::JPEG], None, None), b"YUYV", (1280, 720), (10, 1))]
    #[case::the_nearest_size(wish(&[F::JPEG], Some((1300, 700)), None), b"MJPG", (1280, 720), (30, 1))]
    #[case::the_nearest_rate(wish(&[F::YUYV], Some((640, 480)), Some((16, 1))), b"YUYV", (640, 480), (15, 1))]
    fn the_choice_is_what_comes_nearest_to_the_wish(
        #[case] wish: Wish,
        #[case] code: &[u8; 4],
        #[case] size: (u32, u32),
        #[case] rate: (u32, u32),
    ) {
        assert_eq!(choose(&webcam(), &wish), Some(Choice { fourcc: FourCc::new(code), size, rate }));
    }

    #[test]
    fn a_format_that_is_not_there_or_only_emulated_is_not_chosen() {
        assert_eq!(choose(&webcam(), &wish(&[F::NV12], None, None)), None);
        let mut offers = webcam();
        offers.iter_mut().for_each(|offer| offer.emulated = true);
        assert_eq!(choose(&offers, &Wish::default()), None);
    }

    #[rstest]
    #[case::on_the_grid((640, 480), (640, 480))]
    #[case::between((645, 483), (640, 482))]
    #[case::below((1, 1), (32, 16))]
    #[case::above((9000, 9000), (4096, 2160))]
    fn a_size_on_a_grid_is_rounded_down_to_it(#[case] size: (u32, u32), #[case] expected: (u32, u32)) {
        let rates = Rates::Range { slowest: (1, 1), fastest: (30, 1) };
        let range = Sizes::Range { least: (32, 16), most: (4096, 2160), step: (16, 2), rates };
        let choice = choose(&[offer(b"GREY", range)], &wish(&[], Some(size), Some((100, 1)))).unwrap();
        assert_eq!((choice.size, choice.rate), (expected, (30, 1)));
    }

    #[test]
    fn a_code_of_the_drivers_is_taken_as_it_is_known_or_not() {
        for code in [b"ZZZZ", b"YUYV"] {
            let fourcc = Some(FourCc::new(code));
            let choice = choose(&webcam(), &Wish { fourcc, ..wish(&[F::JPEG], None, None) }).unwrap();
            assert_eq!(choice.fourcc, FourCc::new(code));
        }
        assert_eq!(choose(&webcam(), &Wish { fourcc: Some(FourCc::new(b"NM12")), ..Wish::default() }), None);
    }

    #[test]
    fn a_driver_that_says_nothing_is_asked_for_what_is_wanted() {
        let choice = choose(&[offer(b"GREY", Sizes::Unknown)], &wish(&[], Some((64, 48)), Some((7, 2))));
        assert_eq!(choice, Some(Choice { fourcc: FourCc::new(b"GREY"), size: (64, 48), rate: (7, 2) }));
    }

    #[rstest]
    #[case::a_step_of_zero(Sizes::Range { least: (8, 8), most: (16, 16), step: (0, 0), rates: Rates::Unknown })]
    #[case::turned_around(Sizes::Range { least: (16, 16), most: (8, 8), step: (1, 1), rates: Rates::Discrete(vec![]) })]
    #[case::no_sizes_at_all(Sizes::Discrete(vec![]))]
    #[case::a_rate_of_zero(Sizes::Discrete(vec![Mode { size: (8, 8), rates: Rates::Discrete(vec![(0, 0)]) }]))]
    fn numbers_of_a_driver_may_be_nonsense(#[case] sizes: Sizes) {
        let _ = choose(&[offer(b"GREY", sizes)], &Wish::default());
    }
}

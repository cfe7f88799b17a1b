//! One order to a peer, as words.

/// One order: words, some of them `name=value`.
pub(crate) struct Order<'l>(Vec<&'l str>);

impl<'l> Order<'l> {
    pub(crate) fn new(line: &'l str) -> Self {
        Self(line.split_ascii_whitespace().collect())
    }

    pub(crate) fn verb(&self) -> &'l str {
        self.text(0)
    }

    pub(crate) fn text(&self, index: usize) -> &'l str {
        self.0.get(index).copied().unwrap_or_default()
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.text(index).parse().unwrap_or_else(|_| panic!("word {index} of {:?} should be a number", self.0))
    }

    pub(crate) fn option(&self, name: &str) -> Option<&'l str> {
        self.0.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn option_number(&self, name: &str) -> Option<u32> {
        self.option(name).map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
    }
}

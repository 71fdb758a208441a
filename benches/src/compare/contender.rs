//! Who takes part.

use serde::Serialize;

/// Whose work it is: the colour in the plots.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    Shmstream,
    Floor,
    Iceoryx2,
    Crossbar,
    MmapSync,
    Pyshmem,
}

/// One way of doing what is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// Which of the ways of its family, for a shade of the colour.
    pub(crate) shade: u8,
}

impl Contender {
    const fn new(name: &'static str, family: Family, shade: u8) -> Self {
        Self {
            name,
            family,
            shade,
        }
    }

    pub(crate) const fn shmstream(name: &'static str) -> Self {
        Self::new(name, Family::Shmstream, 0)
    }

    pub(crate) const fn floor(name: &'static str) -> Self {
        Self::new(name, Family::Floor, 0)
    }

    pub(crate) const fn iceoryx2(name: &'static str) -> Self {
        Self::new(name, Family::Iceoryx2, 0)
    }

    pub(crate) const fn crossbar(name: &'static str) -> Self {
        Self::new(name, Family::Crossbar, 0)
    }

    pub(crate) const fn mmap_sync(name: &'static str) -> Self {
        Self::new(name, Family::MmapSync, 0)
    }

    pub(crate) const fn pyshmem(name: &'static str) -> Self {
        Self::new(name, Family::Pyshmem, 0)
    }

    /// The same, drawn in another shade.
    pub(crate) const fn shade(mut self, shade: u8) -> Self {
        self.shade = shade;
        self
    }
}

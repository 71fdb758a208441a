//! `Aligned`: frames of several streams that belong together.

use std::fmt;
use std::time::Duration;

use super::any::AnyStream;
use super::frame::FrameInfo;
use super::subscription::Subscription;
use crate::error::Result;
use crate::write_lock::Patience;

/// Reads several subscriptions together, and yields the frames that belong together.
///
/// Which do, is said when it is made: those with [the same frame_id](Self::by_frame_id), or those
/// published [within a span](Self::within). The subscriptions are a tuple of references, to streams of
/// different payloads, or a `Vec` of references to streams of one kind; the frames come as a tuple or
/// a `Vec` in the same order, each in place.
///
/// Frames without a counterpart are passed over, and reported: how many of each stream with every set
/// ([`Set::unmatched`]), and one by one to [`on_unmatched`](Self::on_unmatched). Frames that were
/// overwritten before they were read are in the `missed` of the frame behind them, as ever. No writer
/// is locked out or waited for; each stream has one frame held while it waits for its counterparts, so
/// a slot more is needed for that.
///
/// ```
/// use shmstream::{Aligned, Start, Stream};
///
/// # let (a, b) = (format!("doc-aligned-a-{}", std::process::id()), format!("doc-aligned-b-{}", std::process::id()));
/// let camera = Stream::<u8, 16>::builder(&a).history(8).create()?;
/// let pose = Stream::<f64, 3>::builder(&b).history(8).create()?;
/// let (images, poses) = (camera.subscribe(Start::New)?, pose.subscribe(Start::New)?);
///
/// for id in 1..=4 {
///     camera.write_with_id(id, &[0; 16])?;
///     if id != 2 {
///         pose.write_with_id(id, &[id as f64; 3])?;
///     }
/// }
/// let mut aligned = Aligned::by_frame_id((&images, &poses));
/// for id in [1, 3, 4] {
///     let set = aligned.read()?.expect("both are there");
///     let (image, pose) = set.frames;
///     assert_eq!((image.info().frame_id, pose.info().frame_id), (id, id));
///     // Image 2 has no pose.
///     assert_eq!(set.unmatched[0], u64::from(id == 3));
/// }
/// assert!(aligned.read()?.is_none());
/// # camera.unlink()?;
/// # pose.unlink()?;
/// # Ok::<(), shmstream::Error>(())
/// ```
pub struct Aligned<'a, G: Group<'a>> {
    state: G::State,
    rule: Rule,
    unmatched: Vec<u64>,
    report: Option<Report<'a>>,
}

/// What is told of a frame without a counterpart.
type Report<'a> = Box<dyn FnMut(usize, FrameInfo) + 'a>;

/// Frames that belong together.
#[derive(Debug)]
#[non_exhaustive]
pub struct Set<F> {
    /// The frames, in the order of the subscriptions.
    pub frames: F,
    /// For each subscription, how many of its frames were passed over since the set before, because
    /// they had no counterpart.
    pub unmatched: Vec<u64>,
}

/// Which frames belong together.
#[derive(Clone, Copy, Debug)]
enum Rule {
    SameId,
    /// In nanoseconds.
    Within(u64),
}

impl<'a, G: Group<'a>> Aligned<'a, G> {
    /// Yields frames with the same frame_id.
    ///
    /// The frame_ids of each stream must not run backwards.
    pub fn by_frame_id(subscriptions: G) -> Self {
        Self::new(subscriptions, Rule::SameId)
    }

    /// Yields frames of which the first and the last were published at most `span` apart, by the
    /// monotonic clock.
    ///
    /// Of each stream it is the first frame that is not too old for the others.
    pub fn within(span: Duration, subscriptions: G) -> Self {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self::new(subscriptions, Rule::Within(span))
    }

    fn new(subscriptions: G, rule: Rule) -> Self {
        let mut state = subscriptions.begin();
        let members = G::with(&mut state, |members| members.len());
        Self {
            state,
            rule,
            unmatched: vec![0; members],
            report: None,
        }
    }

    /// Has each frame without a counterpart told: the place of its subscription, from 0, and its
    /// header.
    #[must_use]
    pub fn on_unmatched(mut self, report: impl FnMut(usize, FrameInfo) + 'a) -> Self {
        self.report = Some(Box::new(report));
        self
    }

    /// Returns the next set that is there, or `None` while a frame is missing for it.
    ///
    /// # Errors
    ///
    /// As [`Subscription::read`].
    pub fn read(&mut self) -> Result<Option<Set<G::Frames>>> {
        self.next(Patience::None)
    }

    /// Waits for the next set.
    ///
    /// # Errors
    ///
    /// As [`Subscription::wait`].
    pub fn wait(&mut self) -> Result<Set<G::Frames>> {
        match self.next(Patience::Forever)? {
            Some(set) => Ok(set),
            None => unreachable!("the patience to wait for frames is endless"),
        }
    }

    /// Waits for the next set for `timeout` at most, and returns `None` if there is none.
    ///
    /// What has been read and passed over until then stays so.
    ///
    /// # Errors
    ///
    /// As [`Subscription::wait`].
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<Option<Set<G::Frames>>> {
        self.next(Patience::timeout(timeout))
    }

    fn next(&mut self, patience: Patience) -> Result<Option<Set<G::Frames>>> {
        let Self {
            state,
            rule,
            unmatched,
            report,
        } = self;
        let pass_over = |member: usize, info: FrameInfo| {
            unmatched[member] += 1;
            if let Some(report) = report {
                report(member, info);
            }
        };
        if !G::with(state, |members| align(members, *rule, patience, pass_over))? {
            return Ok(None);
        }
        let frames = G::take(state);
        let unmatched = std::mem::replace(unmatched, vec![0; unmatched.len()]);
        Ok(frames.map(|frames| Set { frames, unmatched }))
    }
}

/// Reads on until every member has a frame and they belong together, or patience runs out.
fn align(
    members: &mut [&mut dyn Member],
    rule: Rule,
    patience: Patience,
    mut pass_over: impl FnMut(usize, FrameInfo),
) -> Result<bool> {
    loop {
        for member in members.iter_mut() {
            if member.info().is_none() && !member.fill(patience)? {
                return Ok(false);
            }
        }
        let keys = members.iter().filter_map(|member| member.info());
        let Some(newest) = keys.map(|info| rule.key(info)).max() else {
            return Ok(true);
        };
        let mut complete = true;
        for (i, member) in members.iter_mut().enumerate() {
            if let Some(info) = member.info()
                && rule.is_too_old(rule.key(info), newest)
            {
                pass_over(i, info);
                member.clear();
                complete = false;
            }
        }
        if complete {
            return Ok(true);
        }
    }
}

impl Rule {
    const fn key(self, info: FrameInfo) -> u64 {
        match self {
            Self::SameId => info.frame_id,
            Self::Within(_) => info.monotonic_ns,
        }
    }

    const fn is_too_old(self, key: u64, newest: u64) -> bool {
        match self {
            Self::SameId => key < newest,
            Self::Within(span) => newest - key > span,
        }
    }
}

impl<'a, G: Group<'a>> fmt::Debug for Aligned<'a, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aligned")
            .field("rule", &self.rule)
            .field("subscriptions", &self.unmatched.len())
            .finish_non_exhaustive()
    }
}

/// Subscriptions that are read together: a tuple of two to six references, or a `Vec` of references.
///
/// No other type can implement it.
pub trait Group<'a>: Sized {
    /// The frames that belong together, in the same order.
    type Frames;

    /// The subscriptions, and the frames that wait for their counterparts.
    #[doc(hidden)]
    type State;

    #[doc(hidden)]
    fn begin(self) -> Self::State;

    #[doc(hidden)]
    fn with<R>(state: &mut Self::State, work: impl FnOnce(&mut [&mut dyn Member]) -> R) -> R;

    /// Returns the frames, if all are there.
    #[doc(hidden)]
    fn take(state: &mut Self::State) -> Option<Self::Frames>;
}

/// One subscription among others, and its frame that waits for counterparts.
pub trait Member {
    /// Returns the header of the frame.
    fn info(&self) -> Option<FrameInfo>;
    /// Reads the next frame, and returns whether there was one in time.
    fn fill(&mut self, patience: Patience) -> Result<bool>;
    /// Lets the frame go.
    fn clear(&mut self);
}

/// A subscription and the frame that was read last.
pub struct Waiting<'a, S: AnyStream> {
    subscription: &'a Subscription<S>,
    frame: Option<(S::Frame<'a>, FrameInfo)>,
}

impl<'a, S: AnyStream> Waiting<'a, S> {
    const fn new(subscription: &'a Subscription<S>) -> Self {
        Self {
            subscription,
            frame: None,
        }
    }

    fn take(&mut self) -> Option<S::Frame<'a>> {
        self.frame.take().map(|(frame, _)| frame)
    }
}

impl<S: AnyStream> Member for Waiting<'_, S> {
    fn info(&self) -> Option<FrameInfo> {
        self.frame.as_ref().map(|&(_, info)| info)
    }

    fn fill(&mut self, patience: Patience) -> Result<bool> {
        self.frame = self.subscription.wait_with_info(patience)?;
        Ok(self.frame.is_some())
    }

    fn clear(&mut self) {
        self.frame = None;
    }
}

impl<'a, S: AnyStream> Group<'a> for Vec<&'a Subscription<S>> {
    type Frames = Vec<S::Frame<'a>>;
    type State = Vec<Waiting<'a, S>>;

    fn begin(self) -> Self::State {
        self.into_iter().map(Waiting::new).collect()
    }

    fn with<R>(state: &mut Self::State, work: impl FnOnce(&mut [&mut dyn Member]) -> R) -> R {
        let mut members: Vec<_> = state.iter_mut().map(|one| one as &mut dyn Member).collect();
        work(&mut members)
    }

    fn take(state: &mut Self::State) -> Option<Self::Frames> {
        state.iter_mut().map(Waiting::take).collect()
    }
}

/// Implements `Group` for tuples, which a generic cannot.
macro_rules! tuples {
    ($(($($kind:ident $one:ident),*);)*) => {$(
        impl<'a, $($kind: AnyStream),*> Group<'a> for ($(&'a Subscription<$kind>,)*) {
            type Frames = ($($kind::Frame<'a>,)*);
            type State = ($(Waiting<'a, $kind>,)*);

            fn begin(self) -> Self::State {
                let ($($one,)*) = self;
                ($(Waiting::new($one),)*)
            }

            fn with<R>(
                ($($one,)*): &mut Self::State,
                work: impl FnOnce(&mut [&mut dyn Member]) -> R,
            ) -> R {
                work(&mut [$($one),*])
            }

            fn take(($($one,)*): &mut Self::State) -> Option<Self::Frames> {
                Some(($($one.take()?,)*))
            }
        }
    )*};
}

tuples! {
    (A a, B b);
    (A a, B b, C c);
    (A a, B b, C c, D d);
    (A a, B b, C c, D d, E e);
    (A a, B b, C c, D d, E e, F f);
}

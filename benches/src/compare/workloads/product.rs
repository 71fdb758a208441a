//! A matrix times a vector, each in a stream of its own, the product published in a third.
//!
//! One step writes the vector, multiplies it with the matrix where that lies in shared memory, and puts
//! the product into the next frame of its stream. What it is compared with does the same on private
//! memory.

use std::hint::black_box;
use std::time::Duration;

use gemm::{Parallelism, gemm};
use shmstream::Stream;

use super::names::unique;
use super::python::{Order, Python};
use super::round_trip::for_a_while;
use crate::Outcome;
use crate::contender::Contender;
use crate::effort::Effort;
use crate::figures::{Figures, Workload};
use crate::interleave::Turns;
use crate::shared::{Pages, private};
use crate::sizes::{SIDES, square};
use crate::statistics::Round;

pub(crate) const PRIVATE: Contender = Contender::floor("private memory");
pub(crate) const PRIVATE_HUGE: Contender = Contender::floor("private memory, huge pages").shade(1);
pub(crate) const STREAMS: Contender = Contender::shmstream("shmstream");
pub(crate) const STREAMS_HUGE: Contender = Contender::shmstream("shmstream, huge pages").shade(2);
pub(crate) const PYSHMEM: Contender = Contender::pyshmem("pyshmem, NumPy, copies");
pub(crate) const PYSHMEM_VIEWS: Contender = Contender::pyshmem("pyshmem, NumPy, views").shade(2);

/// Measures all sizes. The largest take gigabytes, so sizes follow one another.
pub(crate) fn product(effort: Effort, python: Option<&Python>, figures: &mut Figures) {
    let [small, medium, large] = SIDES;
    size::<100>(small, effort, python, figures);
    size::<1_000>(medium, effort, python, figures);
    size::<10_000>(large, effort, python, figures);
}

fn size<const N: usize>(
    side: usize,
    effort: Effort,
    python: Option<&Python>,
    figures: &mut Figures,
) {
    assert_eq!(N, side, "the sizes are compiled in");
    let mut turns = Turns::new(Workload::Product);
    let time = Duration::from_millis(effort.milliseconds);
    for (contender, pages) in [(PRIVATE, Pages::Small), (PRIVATE_HUGE, Pages::Huge)] {
        let memory = Memory::<N>::new(pages);
        let measure = memory.map(|mut memory| move |round: &mut Round| memory.round(time, round));
        turns.try_add(square(N), contender, measure);
    }
    for (contender, pages) in [(STREAMS, Pages::Small), (STREAMS_HUGE, Pages::Huge)] {
        let streams = Streams::<N>::new(pages);
        let measure = streams.map(|streams| move |round: &mut Round| streams.round(time, round));
        turns.try_add(square(N), contender, measure);
    }
    if let Some(python) = python {
        for (contender, style) in [(PYSHMEM, "copy"), (PYSHMEM_VIEWS, "views")] {
            let order = Order::new("product", N, style);
            let measure = python.subject(order, effort.milliseconds);
            turns.try_add(square(N), contender, measure);
        }
    }
    let rounds = if N > 1_000 {
        effort.rounds.div_ceil(2)
    } else {
        effort.rounds
    };
    turns.run(rounds, figures);
}

/// Puts `matrix * vector` into `product`.
fn multiply<const N: usize>(matrix: &[[f32; N]; N], vector: &[f32; N], product: &mut [f32; N]) {
    let n = N.cast_signed();
    // SAFETY: `gemm` asks for pointers that are valid for the numbers of rows and columns, at these
    // strides: N rows of N for the matrix, N and 1 for the vectors, which are the types' lengths; and
    // for a destination that nothing else points to: it is an exclusive reference.
    unsafe {
        gemm(
            N,
            1,
            N,
            product.as_mut_ptr(),
            n,
            1,
            false,
            matrix.as_ptr().cast(),
            1,
            n,
            vector.as_ptr(),
            n,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// What the numbers are: products that are easily checked.
const SOURCE: f32 = 0.5;

fn check<const N: usize>(product: &[f32; N]) -> Outcome<()> {
    #[expect(clippy::cast_precision_loss, reason = "no side is that long")]
    let expected = N as f32 * SOURCE;
    if product[0] == expected && product[N - 1] == expected {
        return Ok(());
    }
    Err(format!("a product is {}, not {expected}", product[0]).into())
}

/// Streams: three of them.
struct Streams<const N: usize> {
    matrix: Stream<[f32; N], N>,
    vector: Stream<f32, N>,
    product: Stream<f32, N>,
}

impl<const N: usize> Streams<N> {
    fn new(pages: Pages) -> Outcome<Self> {
        let matrix = Stream::builder(unique()).slots(2).prefault().temporary();
        let streams = Self {
            matrix: match pages {
                Pages::Small => matrix.create()?,
                Pages::Huge => matrix.huge_pages().create()?,
            },
            vector: Stream::builder(unique()).prefault().temporary().create()?,
            product: Stream::builder(unique()).prefault().temporary().create()?,
        };
        let mut matrix = streams.matrix.loan()?;
        matrix.as_flattened_mut().fill(1.0);
        matrix.publish()?;
        Ok(streams)
    }

    fn round(&self, time: Duration, round: &mut Round) -> Outcome<()> {
        let (vectors, products) = (self.vector.lock()?, self.product.lock()?);
        let source = [SOURCE; N];
        for_a_while(time, round, || {
            vectors.write(black_box(&source))?;
            let matrix = self.matrix.read()?.ok_or("no matrix")?;
            let vector = vectors.read()?.ok_or("no vector")?;
            let mut product = products.loan()?;
            multiply(&matrix, &vector, &mut product);
            product.publish()?;
            Ok(())
        })?;
        check(&*products.read()?.ok_or("no product")?)
    }
}

/// The same in private memory.
struct Memory<const N: usize> {
    matrix: memmap2::MmapMut,
    vector: [f32; N],
    product: [f32; N],
}

impl<const N: usize> Memory<N> {
    fn new(pages: Pages) -> Outcome<Self> {
        let mut matrix = private(N * N * size_of::<f32>(), pages)?;
        let (whole, _) = matrix.as_chunks_mut();
        whole.fill(1.0_f32.to_ne_bytes());
        Ok(Self {
            matrix,
            vector: [0.0; N],
            product: [0.0; N],
        })
    }

    fn round(&mut self, time: Duration, round: &mut Round) -> Outcome<()> {
        let source = [SOURCE; N];
        let matrix = <[[f32; N]; N] as zerocopy::FromBytes>::ref_from_bytes(&self.matrix)
            .map_err(|_| "misaligned")?;
        for_a_while(time, round, || {
            self.vector = *black_box(&source);
            multiply(matrix, &self.vector, &mut self.product);
            black_box(&self.product);
            Ok(())
        })?;
        check(&self.product)
    }
}

//! A matrix times a vector, the vector and the result in streams, beside the same without streams.

use std::sync::Arc;

use cudarc::cublas::{CudaBlas, Gemv, GemvConfig, sys::cublasOperation_t};
use cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, DriverError, sys::CUresult};
use libloading::Library;
use shmstream::cuda::{CudaStream, Queue, context};

use super::table::{Table, Target};
use super::{Outcome, PATIENCE, Scale, median, name};

pub(crate) fn measure(scale: Scale, table: &mut Table) -> Outcome {
    if !has_cublas() {
        println!("no product: the library libcublas.so was not found");
        return Ok(());
    }
    for n in [100, 1000, 10_000] {
        for on_device in [false, true] {
            let (time, floor) = product(scale, scale.side(n), on_device)?;
            let place = if on_device { "device" } else { "host" };
            let what = format!("product, n = {n}, {place} vector");
            table.add_beside(&what, time, floor, Target::Faster(1.0));
            if n == 10_000 {
                let what = format!("{what}, and without");
                table.add_beside(what, time, floor, Target::OfFloor(0.9));
            }
        }
    }
    Ok(())
}

/// cudarc panics where it is missing.
fn has_cublas() -> bool {
    let names = [
        "libcublas.so",
        "libcublas.so.13",
        "libcublas.so.12",
        "libcublas.so.11",
    ];
    names.iter().any(|name| {
        // SAFETY: `new` asks that the library's initialisation is sound: it is the one that the
        // driver's vendor has programs load by this name.
        unsafe { Library::new(*name) }.is_ok()
    })
}

struct Matrix {
    blas: CudaBlas,
    elements: CudaSlice<f32>,
    n: usize,
}

impl Matrix {
    fn new(n: usize, queue: &Arc<Queue>) -> Outcome<Self> {
        Ok(Self {
            blas: CudaBlas::new(Arc::clone(queue))?,
            elements: queue.clone_htod(&vec![0.5; n * n])?,
            n,
        })
    }

    fn multiply(
        &self,
        vector: &impl DevicePtr<f32>,
        result: &mut impl DevicePtrMut<f32>,
    ) -> Result<(), DriverError> {
        let n =
            i32::try_from(self.n).map_err(|_| DriverError(CUresult::CUDA_ERROR_INVALID_VALUE))?;
        let config = GemvConfig {
            trans: cublasOperation_t::CUBLAS_OP_N,
            m: n,
            n,
            alpha: 1.0,
            lda: n,
            incx: 1,
            beta: 0.0,
            incy: 1,
        };
        assert!(vector.len() == self.n && result.len() == self.n);
        // SAFETY: `gemv` asks for sizes that fit the configuration: `n` by `n`, and `n` twice (checked).
        let done = unsafe { self.blas.gemv(config, &self.elements, vector, result) };
        done.map_err(|_| DriverError(CUresult::CUDA_ERROR_UNKNOWN))
    }
}

/// Returns how long a product takes with streams and without.
fn product(scale: Scale, n: usize, on_device: bool) -> Outcome<(f64, f64)> {
    let rounds = scale.rounds(n * n * size_of::<f32>());
    let context = context(0)?;
    let queue = context.new_stream()?;
    let matrix = Matrix::new(n, &queue)?;
    let host = vec![1.0_f32; n];
    let source = queue.clone_htod(&host)?;
    let mut vector = queue.alloc_zeros::<f32>(n)?;
    let mut result = queue.alloc_zeros::<f32>(n)?;
    let mut back = vec![0.0_f32; n];

    let floor = median(rounds, || {
        match on_device {
            true => queue.memcpy_dtod(&source, &mut vector)?,
            false => queue.memcpy_htod(&host, &mut vector)?,
        }
        matrix.multiply(&vector, &mut result)?;
        if !on_device {
            queue.memcpy_dtoh(&result, &mut back)?;
        }
        Ok(queue.synchronize()?)
    })?;

    let (to, from) = (name("vector"), name("result"));
    let vectors = CudaStream::<f32>::create(&to, &[n], &context)?;
    let results = CudaStream::<f32>::create(&from, &[n], &context)?;
    let reader = CudaStream::<f32>::open(&to, &context)?;
    let caller = CudaStream::<f32>::open(&from, &context)?;
    let time = median(rounds, || {
        match on_device {
            true => vectors.publish_timeout(PATIENCE, &queue, |slot, queue| {
                queue.memcpy_dtod(&source, slot)
            })?,
            false => vectors.write_timeout(&host, PATIENCE)?,
        };
        let vector = reader.wait(&queue)?;
        results.publish_timeout(PATIENCE, &queue, |slot, _| {
            matrix.multiply(&vector.view(), slot)
        })?;
        drop(vector);
        let result = caller.wait(&queue)?;
        if !on_device {
            assert_eq!(result.copy_to_host()?.len(), n);
        }
        Ok(())
    })?;
    vectors.unlink()?;
    results.unlink()?;
    Ok((time, floor))
}

//! Modules: text of kernels. What runs is not the text, but the stand-in's kernel of that name.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use crate::call::{Code, Out, context_call};
use crate::kernel::Kernel;
use crate::status::{Outcome, Status};
use crate::table::Table;

/// A module, of its text.
struct Module(String);

static MODULES: Table<Module> = Table::new(6);
static FUNCTIONS: Table<Kernel> = Table::new(7);

fn load(text: String) -> Outcome<usize> {
    // Compiled kernels would not be run but ignored.
    if !text.contains(".version") || !text.contains(".entry") {
        return Err(Status::INVALID_IMAGE);
    }
    Ok(MODULES.insert(Arc::new(Module(text))))
}

/// Reads a text of the caller.
///
/// # Safety
///
/// `text` is null or a string that ends with a zero.
unsafe fn read(text: *const c_char) -> Outcome<String> {
    if text.is_null() {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: the function's contract, and not null.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(text.to_string_lossy().into_owned())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(result: Out<usize>, image: *const c_char) -> Code {
    context_call("cuModuleLoadData", |_| {
        // SAFETY: the driver's contract for text, and what is no text ends at a zero all the same.
        result.put(load(unsafe { read(image) }?)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoad(result: Out<usize>, path: *const c_char) -> Code {
    context_call("cuModuleLoad", |_| {
        // SAFETY: the driver's contract.
        let path = unsafe { read(path) }?;
        let text = std::fs::read_to_string(path).map_err(|_| Status::FILE_NOT_FOUND)?;
        result.put(load(text)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleUnload(module: usize) -> Code {
    context_call("cuModuleUnload", |_| MODULES.remove(module).map(drop))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    result: Out<usize>,
    module: usize,
    name: *const c_char,
) -> Code {
    context_call("cuModuleGetFunction", |_| {
        let module = MODULES.find(module)?;
        // SAFETY: the driver's contract.
        let name = unsafe { read(name) }?;
        // It must be in the text as well, or a GPU would not find it.
        if !module.0.contains(&format!(".entry {name}(")) {
            return Err(Status::NOT_FOUND);
        }
        let kernel = Kernel::named(&name).ok_or(Status::NOT_FOUND)?;
        result.put(FUNCTIONS.insert(Arc::new(kernel)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuFuncGetAttribute(
    result: Out<c_int>,
    number: c_uint,
    function: usize,
) -> Code {
    context_call("cuFuncGetAttribute", |_| {
        FUNCTIONS.find(function)?;
        // The most threads in a block; nothing else has a value here.
        result.put(if number == 0 { 1024 } else { 0 })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    _shared: c_uint,
    queue: usize,
    arguments: *const *const u64,
    extra: *const c_void,
) -> Code {
    context_call("cuLaunchKernel", |context| {
        let kernel = *FUNCTIONS.find(function)?;
        let sizes = [grid_x, grid_y, grid_z, block_x, block_y, block_z];
        if sizes.contains(&0) || arguments.is_null() || !extra.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the driver's contract: as many pointers as the kernel takes arguments.
        let pointers = unsafe { std::slice::from_raw_parts(arguments, kernel.arguments()) };
        // SAFETY: the driver's contract: each points to an argument of the kernel's type.
        let read = |pointer: &*const u64| unsafe { pointer.read_unaligned() };
        let values = pointers.iter().map(read).collect();
        kernel.launch(&*context.queue(queue)?, values);
        Ok(())
    })
}

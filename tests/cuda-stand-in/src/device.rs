//! Devices: which there are, what they can do, whether they reach each other.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::OnceLock;

use crate::call::{Code, Out, call, device_call, initialize};
use crate::config::config;
use crate::identity;
use crate::status::{Outcome, Status};

/// What the driver says it is: CUDA 13.0.
const VERSION: c_int = 13_000;

/// A device's number as the machine counts, whatever is visible. It stands for the device between
/// processes, as the UUID that is made from it.
pub(crate) type Physical = u32;

/// Returns the visible devices, in the order of their ordinals.
fn visible() -> &'static [Physical] {
    static VISIBLE: OnceLock<Vec<Physical>> = OnceLock::new();
    VISIBLE.get_or_init(|| {
        let config = config();
        let all: Vec<Physical> = (0..config.devices).collect();
        let Some(list) = &config.visible else {
            return all;
        };
        let named = list
            .split(',')
            .map(|name| all.iter().copied().find(|&device| names(device, name)));
        // What stands behind the first name of no device is invisible, as documented.
        named.map_while(|device| device).collect()
    })
}

/// Returns whether a name in `CUDA_VISIBLE_DEVICES` means this device: its number, or how its UUID
/// begins.
fn names(device: Physical, name: &str) -> bool {
    let name = name.trim();
    match name.strip_prefix("GPU-") {
        Some(beginning) => !beginning.is_empty() && uuid_text(device).starts_with(beginning),
        None => name.parse() == Ok(device),
    }
}

fn uuid(device: Physical) -> [u8; 16] {
    let mut bytes = *b"stand-in-GPU0000";
    bytes[12..].copy_from_slice(&device.to_be_bytes());
    bytes
}

fn uuid_text(device: Physical) -> String {
    let mut text = String::new();
    for (index, byte) in uuid(device).iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Returns the device of an ordinal.
pub(crate) fn physical(ordinal: c_int) -> Outcome<Physical> {
    let index = usize::try_from(ordinal).map_err(|_| Status::INVALID_DEVICE)?;
    let device = visible().get(index).copied();
    device.ok_or(Status::INVALID_DEVICE)
}

/// Returns a device's ordinal here, or none if it is not visible.
pub(crate) fn ordinal(device: Physical) -> Option<c_int> {
    let index = visible().iter().position(|&each| each == device)?;
    c_int::try_from(index).ok()
}

/// Returns whether `one` reaches the memory of `other`.
pub(crate) fn reaches(one: Physical, other: Physical) -> bool {
    one == other || config().peers
}

/// Returns an attribute, which is the same for all devices.
pub(crate) fn attribute(number: c_int) -> c_int {
    let set = config().attributes.iter().find(|(set, _)| *set == number);
    if let Some((_, value)) = set {
        return *value;
    }
    match number {
        1 => 1024,                          // threads in a block
        10 => 32,                           // warp size
        16 => 16,                           // multiprocessors
        19 => 1,                            // maps host memory
        39 => 2048,                         // threads on a multiprocessor
        41 => 1,                            // unified addressing
        75 => 9,                            // compute capability, major
        91 => 1,                            // registered memory has the host's address
        92..=94 | 122 | 123 => 1,           // stream memory operations, both versions
        99 | 113 => 1,                      // registers host memory, read-only too
        102 | 103 => 1,                     // virtual memory, POSIX descriptors
        110 => 1,                           // such memory reached by other devices on the bus
        115 => c_int::from(config().pools), // memory pools
        125 => 1,                           // events between processes
        _ => 0,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuInit(flags: c_uint) -> Code {
    call("cuInit", || {
        if flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        if visible().is_empty() {
            return Err(Status::NO_DEVICE);
        }
        identity::claim();
        initialize();
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDriverGetVersion(version: Out<c_int>) -> Code {
    call("cuDriverGetVersion", || version.put(VERSION))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: Out<c_int>) -> Code {
    device_call("cuDeviceGetCount", || {
        let devices = c_int::try_from(visible().len());
        count.put(devices.map_err(|_| Status::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: Out<c_int>, ordinal: c_int) -> Code {
    device_call("cuDeviceGet", || {
        physical(ordinal)?;
        device.put(ordinal)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, room: c_int, device: c_int) -> Code {
    device_call("cuDeviceGetName", || {
        physical(device)?;
        let room = usize::try_from(room).unwrap_or(0);
        let given = config().name.as_bytes_with_nul();
        if name.is_null() || room < given.len() {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the driver's contract: `name` has `room` bytes, which are enough.
        unsafe { name.cast::<u8>().copy_from(given.as_ptr(), given.len()) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetUuid(result: Out<[u8; 16]>, device: c_int) -> Code {
    device_call("cuDeviceGetUuid", || result.put(uuid(physical(device)?)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetUuid_v2(result: Out<[u8; 16]>, device: c_int) -> Code {
    device_call("cuDeviceGetUuid_v2", || result.put(uuid(physical(device)?)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: c_int) -> Code {
    device_call("cuDeviceTotalMem_v2", || {
        physical(device)?;
        bytes.put(config().memory)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(value: Out<c_int>, number: c_int, device: c_int) -> Code {
    device_call("cuDeviceGetAttribute", || {
        physical(device)?;
        value.put(attribute(number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names_of_their_own() {
        assert_ne!(uuid(0), uuid(1));
        assert_eq!(uuid_text(1), "7374616e-642d-696e-2d47-505500000001");
        assert!(names(1, " 1 "));
        assert!(names(1, &format!("GPU-{}", uuid_text(1))));
        assert!(!names(1, "0"));
        assert!(!names(1, "GPU-"));
    }
}

//! Access from the device of one context to the memory of another.

use std::ffi::{c_int, c_uint};

use crate::call::{Code, Out, context_call, device_call};
use crate::context::live;
use crate::device::{physical, reaches};
use crate::status::Status;
use crate::table::lock;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceCanAccessPeer(can: Out<c_int>, one: c_int, other: c_int) -> Code {
    device_call("cuDeviceCanAccessPeer", || {
        let (one, other) = (physical(one)?, physical(other)?);
        // A device is no peer of itself, as documented.
        can.put(c_int::from(one != other && reaches(one, other)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetP2PAttribute(
    value: Out<c_int>,
    number: c_uint,
    one: c_int,
    other: c_int,
) -> Code {
    device_call("cuDeviceGetP2PAttribute", || {
        let (one, other) = (physical(one)?, physical(other)?);
        if one == other {
            return Err(Status::INVALID_DEVICE);
        }
        match number {
            // Rank, and whether arrays can be reached.
            1 | 4 => value.put(0),
            // Access, and atomics.
            2 | 3 => value.put(c_int::from(reaches(one, other))),
            _ => Err(Status::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxEnablePeerAccess(peer: usize, flags: c_uint) -> Code {
    context_call("cuCtxEnablePeerAccess", |context| {
        let peer = live(peer).ok_or(Status::INVALID_CONTEXT)?;
        if flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        if peer.device == context.device {
            return Err(Status::INVALID_DEVICE);
        }
        if !reaches(context.device, peer.device) {
            return Err(Status::PEER_ACCESS_UNSUPPORTED);
        }
        if lock(&context.peers).insert(peer.device) {
            Ok(())
        } else {
            Err(Status::PEER_ACCESS_ALREADY_ENABLED)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxDisablePeerAccess(peer: usize) -> Code {
    context_call("cuCtxDisablePeerAccess", |context| {
        let peer = live(peer).ok_or(Status::INVALID_CONTEXT)?;
        if lock(&context.peers).remove(&peer.device) {
            Ok(())
        } else {
            Err(Status::PEER_ACCESS_NOT_ENABLED)
        }
    })
}

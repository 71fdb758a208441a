//! Structs that are payloads, derived under `forbid(unsafe_code)` and with every lint on.
#![forbid(unsafe_code)]
#![deny(warnings, clippy::pedantic)]

use half::{bf16, f16};
use shmstream::{Bool, DType, GpuPayload, Pod, Schema, ShmPayload};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Imu {
    time: f64,
    accel: [f32; 3],
    gyro: [f32; 3],
}

#[test]
fn schema_describes_every_field() {
    let schema = Imu::schema();
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| (field.name(), field.offset(), field.schema().clone()))
        .collect();
    let three = <[f32; 3]>::schema();
    assert_eq!(
        fields,
        [
            ("time", 0, Schema::scalar(DType::F64)),
            ("accel", 8, three.clone()),
            ("gyro", 20, three),
        ],
    );
    assert_eq!((schema.size(), schema.align()), (32, 8));
    assert_eq!(schema.dtype(), None);
    assert_eq!(
        schema.to_string(),
        "Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }"
    );
}

#[test]
fn bytes_are_the_fields_in_order() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Sample {
        head: u16,
        tail: [u8; 2],
    }

    let sample = Sample {
        head: 0x0102_u16.to_be(),
        tail: [3, 4],
    };
    assert_eq!(sample.as_bytes(), [1, 2, 3, 4]);
    assert_eq!(Sample::zeroed().as_bytes(), [0; 4]);
}

#[test]
fn every_scalar() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Scalars {
        a: u64,
        b: i64,
        c: f64,
        d: u32,
        e: i32,
        f: f32,
        g: u16,
        h: i16,
        i: f16,
        j: bf16,
        k: u8,
        l: i8,
        m: Bool,
        n: shmstream::Bool,
    }

    let fields = Scalars::schema().fields().to_vec();
    let dtypes: Vec<_> = fields.iter().map(|field| field.schema().dtype()).collect();
    let expected = [
        DType::U64,
        DType::I64,
        DType::F64,
        DType::U32,
        DType::I32,
        DType::F32,
        DType::U16,
        DType::I16,
        DType::F16,
        DType::BF16,
        DType::U8,
        DType::I8,
        DType::Bool,
        DType::Bool,
    ];
    assert_eq!(dtypes, expected.map(Some));
}

#[test]
fn structs_in_arrays_in_structs() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Rig {
        count: [[u16; 2]; 3],
        _pad: [u8; 4],
        imus: [[Imu; 2]; 4],
    }

    let schema = Rig::schema();
    let imus = schema.fields()[2].schema();
    assert_eq!(imus.shape(), [4, 2]);
    assert_eq!(imus.item(), Imu::schema().item());
    assert_eq!(schema.fields()[2].offset(), 16);
    assert_eq!(schema.fields()[0].schema().to_string(), "[[u16; 2]; 3]");
}

#[test]
fn tuple_and_transparent_structs() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Pair(u32, [i16; 2]);

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(transparent)]
    struct Volts {
        value: f32,
    }

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(transparent)]
    struct Counts([u16; 4]);

    assert_eq!(Pair::schema().to_string(), "Pair { 0: u32, 1: [i16; 2] }");
    assert_eq!(Volts::schema().to_string(), "Volts { value: f32 }");
    assert_eq!(Counts::schema().to_string(), "Counts { 0: [u16; 4] }");
}

#[test]
fn alignment_above_the_fields() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C, align(16))]
    struct Quad([f32; 4]);

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(align(4096))]
    #[repr(C)]
    struct Page {
        bytes: [u8; 4096],
    }

    assert_eq!(Quad::schema().align(), 16);
    assert_eq!(Page::schema().align(), 4096);
}

#[test]
fn raw_names_lose_their_prefix() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    #[allow(non_camel_case_types)]
    struct r#struct {
        r#type: u32,
    }

    assert_eq!(r#struct::schema().to_string(), "struct { type: u32 }");
}

#[test]
fn names_are_unicode() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Größe {
        länge: f32,
    }

    assert_eq!(Größe::schema().to_string(), "Größe { länge: f32 }");
}

#[test]
fn attributes_and_visibility() {
    /// Documented.
    #[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
    #[repr(C)]
    #[must_use]
    pub(crate) struct Sample {
        /// Documented.
        pub(crate) a: f32,
        #[cfg(not(unix))]
        absent: u64,
        pub(crate) b: f32,
        #[deprecated]
        c: f32,
        #[cfg(unix)]
        d: f32,
    }

    assert_eq!(
        Sample::schema().to_string(),
        "Sample { a: f32, b: f32, c: f32, d: f32 }"
    );
}

#[test]
fn types_are_found_where_the_struct_is() {
    mod units {
        pub(super) type Volts = f32;
        pub(super) const CHANNELS: usize = 3;
    }

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Sample {
        a: [units::Volts; units::CHANNELS],
        b: [f32; Self::ROWS * 2],
        c: [f32; 2],
        d: <[f32; 2] as IntoIterator>::Item,
    }

    impl Sample {
        const ROWS: usize = 2;
    }

    assert_eq!(
        Sample::schema().to_string(),
        "Sample { a: [f32; 3], b: [f32; 4], c: [f32; 2], d: f32 }",
    );
}

#[test]
fn names_of_the_output_are_free() {
    const __VALUE: usize = 2;
    const FIELDS: usize = 3;
    const NAME: usize = 4;

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Layout {
        value: [f32; __VALUE],
        fields: [f32; FIELDS],
        name: [f32; NAME],
    }

    assert_eq!(Layout::schema().size(), 36);
}

macro_rules! payload {
    ($name:ident { $($field:ident: $ty:ty = [$len:expr; $element:ty]),* }) => {
        #[derive(Clone, Copy, ShmPayload)]
        #[repr(C)]
        struct $name {
            head: [u8; 4],
            $($field: [[$element; $len]; 2],)*
            $(tail: $ty,)*
        }
    };
}

#[test]
fn structs_from_macros() {
    payload!(Sample {
        body: f32 = [1 + 1; i32]
    });

    assert_eq!(
        Sample::schema().to_string(),
        "Sample { head: [u8; 4], body: [[i32; 2]; 2], tail: f32 }",
    );
}

#[test]
fn gpu_structs() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    #[shm(gpu)]
    struct Weights {
        scale: f32,
        bias: [i32; 3],
        values: [[f16; 4]; 2],
    }

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    #[shm(gpu)]
    struct Layers([Weights; 2]);

    const fn requires_gpu<T: GpuPayload>() {}
    requires_gpu::<Layers>();
    assert_eq!(Layers::schema().size(), 64);
}

/// A crate that passes `shmstream` on.
mod reexport {
    pub(crate) mod ipc {
        pub(crate) use shmstream as shm;
    }
}

#[test]
fn reexported() {
    #[derive(Clone, Copy, reexport::ipc::shm::ShmPayload)]
    #[repr(C)]
    #[shm(crate = reexport::ipc::shm, gpu)]
    struct Relative(f32);

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    #[shm(crate = crate::reexport::ipc::shm)]
    struct FromRoot(f32);

    assert_eq!(Relative::schema().to_string(), "Relative { 0: f32 }");
    assert_eq!(FromRoot::schema().to_string(), "FromRoot { 0: f32 }");
}

//! The parity tests: one for every pass.

use askem_kernels::Call;

use crate::harness::parity;
use crate::params;
use crate::passes::for_each_pass;

/// One test per pass, named `op::pass`, and the list of their names.
macro_rules! parity_tests {
    ($( $op:ident => { $($pass:ident: $call:ident),* $(,)? } )*) => {
        pub(crate) const TESTED: &[&str] =
            &[$($(concat!(stringify!($op), "::", stringify!($pass))),*),*];
        $(mod $op {
            use super::*;
            $(#[test]
            fn $pass() {
                let name = concat!(stringify!($op), "::", stringify!($pass));
                parity(name, params::$op(), Call::$call);
            })*
        })*
    };
}

for_each_pass!(parity_tests);

//! Agreement of scores with labels, and how sure it is. Pure: plain slices in, numbers out; no tables, no clock, and
//! chance only from a seed.

//! Short programs that show camlane at work: see the example targets of this package.

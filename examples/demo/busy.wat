;; Computes for ever. Nothing but its limits ends it.
(module
  (func (export "_start")
    (loop $for_ever (br $for_ever))))

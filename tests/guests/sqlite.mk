# SQLite 3.54.1 (public domain) with the WASI file layer of the crate that carries it, as one object file in the user's cache: $(SQLITE_OBJECT).
# For the tests and the benchmark; included behind guests.mk.

SQLITE := $(GUESTS)/libsqlite3-sys-0.40.0/source
SQLITE_SHA256 := b06e69070b7e12262b0cd90832f0a7396f142a2b330181255562decf9f0c6215
SQLITE_OBJECT := $(GUESTS)/sqlite-0.40.0.o

$(eval $(call CRATE,libsqlite3-sys,0.40.0,$(SQLITE_SHA256)))

# It is kept in the cache: a quarter of a minute.
$(SQLITE_OBJECT): | $(ZIG) $(SQLITE)
	@echo "compiling SQLite once" >&2
	@$(WASM_CC) -O2 -w -DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -I$(SQLITE)/sqlite3 \
	  -include $(SQLITE)/sqlite3/sqlite3.c -c $(SQLITE)/sqlite3/wasm32-wasi-vfs.c -o $@.new
	@mv $@.new $@

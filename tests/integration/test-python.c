/* SPDX-License-Identifier: MIT
 * openc.py, a second client written from opend-protocol(7), and a real opend: what one of them took
 * the page to mean the other did, too. What is not so raises AssertionError. */
#include <sys/wait.h>
#include "harness.h"

#define PRELUDE                                                                                    \
	"import errno, os, sys, time\n"                                                            \
	"import openc\n"                                                                           \
	"D = sys.argv[1]\n"                                                                        \
	"def fds(): return len(os.listdir('/proc/self/fd'))\n"                                     \
	"def refused(call, *args, **more):\n"                                                      \
	"    try: call(*args, **more)\n"                                                           \
	"    except openc.Error as e: return e\n"                                                  \
	"    assert False, 'not refused'\n"                                                        \
	"before = fds()\n"                                                                         \
	"c = openc.Connection()\n"
#define EPILOGUE                                                                                   \
	"c.close()\n"                                                                              \
	"assert fds() == before, 'descriptors leaked'\n"

struct visit {
	const char *socket, *module, *program;
	volatile int step;
};

static void python(void *arg)
{
	const struct visit *v = arg;
	struct program p;

	setenv("OPENC_SOCKET", v->socket, 1);
	setenv("PYTHONPATH", v->module, 1);
	setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
	p = RUN("/usr/bin/python3", "-c", text("%s%s%s", PRELUDE, v->program, EPILOGUE),
		at("data"));
	ensure(p.status == 0, "python3: %s", p.err);
}

/* Where make install put it, or NULL: nothing is installed, or there is no Python. */
static const char *module(void)
{
	char *found;

	if (!getenv("STAGE") || RUN("/usr/bin/python3", "-c", "").status)
		return NULL;
	found = RUN("find", getenv("STAGE"), "-name", "openc.py", "-printf", "%h").out;
	ensure(*found, "openc.py is not installed");
	return found;
}

static struct opend begin(struct visit *v)
{
	struct opend o;

	make_file(at("data/a"), 0644, alice.uid, "one\ntwo\n");
	make_file(at("data/b"), 0644, alice.uid, "three\n");
	make_file(at("data/denied"), 0644, alice.uid, "no\n");
	make_link("b", at("data/link"));
	make_dir(at("data/in"), 0777, alice.uid);
	policy("10",
	       "allow read under %s except %s to user %u\n"
	       "allow read,write,create under %s to user %u\n"
	       "deny any file %s to anyone\n",
	       at("data"), at("data/in"), alice.uid, at("data/in"), alice.uid, at("data/denied"));
	o = OPEND();
	v->socket = o.socket;
	return o;
}

static void runs(const char *program)
{
	struct visit v = { .module = module(), .program = program };
	struct opend o;

	if (!v.module) {
		harness_skip("openc.py", "it is not installed, or there is no /usr/bin/python3");
		return;
	}
	o = begin(&v);
	as(alice, python, &v);
	opend_stop(&o);
}

START_TEST(files_are_file_objects)
{
	runs("with c.open(D + '/a') as f: assert f.readlines() == ['one\\n', 'two\\n']\n"
	     "with c.open(D + '/link', 'rb') as f: assert f.read() == b'three\\n'\n"
	     "with c.open(D + '/in/../a') as f: assert f.readline() == 'one\\n'\n"
	     "os.umask(0o027)\n"
	     "c.close()\n"
	     "c = openc.Connection()\n"
	     "with c.open(D + '/in/new', 'x') as f: f.write('new\\n')\n"
	     "assert os.stat(D + '/in/new').st_mode & 0o777 == 0o640\n"
	     "with c.open(D + '/in/new', 'a') as f: f.write('more\\n')\n"
	     "with c.open(D + '/in/new', 'r+') as f: assert f.read() == 'new\\nmore\\n'\n"
	     "with c.open(D + '/in/new', 'w') as f: pass\n"
	     "assert os.stat(D + '/in/new').st_size == 0\n"
	     "os.chdir(D)\n"
	     "fd = c.open_fd('b')\n"
	     "assert os.fstat(fd).st_ino == os.stat('b').st_ino\n"
	     "assert fd > 2 and not os.get_inheritable(fd)\n"
	     "os.close(fd)\n"
	     "with openc.open('b') as f: assert f.read() == 'three\\n'\n"
	     "openc._hidden.close()\n");
}
END_TEST

START_TEST(refusals_are_exceptions)
{
	runs("e = refused(c.open, D + '/denied')\n"
	     "assert isinstance(e, PermissionError) and e.errno == errno.EACCES and e.reason == 2\n"
	     "assert 'deny rule' in str(e) and e.filename == D + '/denied'\n"
	     "e = refused(c.open, '/nowhere')\n"
	     "assert e.reason == 1 and e.serial > 0\n"
	     "e = refused(c.open, D + '/b', 'r+')\n"
	     "assert e.reason == 3 and e.lacked == openc.WRITE, (e.reason, "
	     "e.lacked)\n"
	     "e = refused(c.open, D + '/missing')\n"
	     "assert isinstance(e, FileNotFoundError) and e.reason == 40\n"
	     "e = refused(c.open_fd, D + '/in', os.O_WRONLY)\n"
	     "assert isinstance(e, IsADirectoryError), e\n"
	     "e = refused(c.open_fd, D + '/a', os.O_RDONLY | os.O_TRUNC)\n"
	     "assert e.errno == errno.EINVAL and e.reason == 20\n");
}
END_TEST

START_TEST(batches_dry_runs_and_questions)
{
	runs("many = c.ask_many([D + '/a', D + '/denied', D + '/b'] * 100)\n"
	     "assert [getattr(r, 'reason', 0) for r in many] == [0, 2, 0] * 100\n"
	     "for r in many:\n"
	     "    if r.__class__ is openc.Result:\n"
	     "        assert os.fstat(r.fd).st_ino == r.ino\n"
	     "        os.close(r.fd)\n"
	     "r = c.ask(D + '/in/not-there', os.O_WRONLY | os.O_CREAT, 0o600, dry_run=True, "
	     "text=True)\n"
	     "assert r.fd is None and r.generation == 1 and 'granted by' in r.text, r\n"
	     "assert not os.path.exists(D + '/in/not-there')\n"
	     "assert refused(c.ask, D + '/denied', dry_run=True).reason == 2\n"
	     "who = c.whoami()\n"
	     "assert who['uid'] == str(os.getuid()) and who['protocol'] == '1'\n"
	     "assert b'deny any file' in c.rules() and c.rules() == c.rules()\n");
}
END_TEST

/* ---- a restart ---- */

static void stay(void *arg)
{
	struct visit *v = arg;

	v->program = text("with c.open(D + '/a') as f: pass\n"
			  "open(D + '/in/ready', 'w').close()\n"
			  "while os.path.exists(D + '/in/ready'): time.sleep(0.01)\n"
			  "with c.open(D + '/b') as f: assert f.read() == 'three\\n'\n");
	python(arg);
}

START_TEST(a_restart_is_not_noticed)
{
	struct visit v = { .module = module() };
	char *ready = at("data/in/ready");
	struct client c;
	struct opend o;

	if (!v.module)
		skip("it is not installed, or there is no /usr/bin/python3");
	o = begin(&v);
	c = client_start(alice, stay, &v);
	ensure(within(20000, !access(ready, F_OK) || !alive(c.pid)), "it does not begin");
	sys(kill(o.pid, SIGTERM));
	sys(waitpid(o.pid, NULL, 0));
	close_fd(o.notify);
	unlink(at("run/notify"));
	o = OPEND();
	sys(unlink(ready));
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("python");

	ADD(s, files_are_file_objects, 60);
	ADD(s, refusals_are_exceptions, 60);
	ADD(s, batches_dry_runs_and_questions, 60);
	ADD(s, a_restart_is_not_noticed, 60);
	return s;
}

int main(void)
{
	return harness_main("python", suite);
}

// Viewers of one camera, by the hundred: reads MJPEG over HTTP, or `fluxprint.view.v1` over a WebSocket, and says how old
// each picture was when the last byte of it came. Python takes longer to read a frame than the relay to send it.
//
//   viewers mjpeg|ws PORT PATH HEADERS WATCH  FAST SLOW STUCK  BYTES_PER_S  WARM_S SECONDS  PER_S
//
// HEADERS: lines that end in \r\n, or nothing. WATCH: what a WebSocket sends first; each picture is acknowledged where it
// names a camera. SLOW viewers read BYTES_PER_S each, STUCK ones never; PER_S come a second. Prints "measuring" when all
// are connected and warm, and at the end one line of JSON: `busy` is their own share of a core, `ms` are the ages of
// those who read fast, where they are few.
// A picture's comment segment holds FPBENCH1, a sequence and CLOCK_MONOTONIC in ns, both as 8 bytes in network order.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD, PART_HEAD, PICTURE, WS_HEAD, WS_BODY };
enum { FAST, SLOW, STUCK };
enum { PREFIX = 96, FEW = 100 };

struct viewer {
    int fd, kind, state, chunked, op, closed;
    char line[2048];
    int line_length, chunk_state;
    long left, size, chunk_left;
    unsigned char prefix[PREFIX], ws[10];
    int prefix_length, ws_length;
    uint64_t last;
    double credit;
};

struct ages { float *ms; size_t count, room; };

static struct ages ages[2];
static long delivered[2], disorder, missed, broken;
static int measuring, is_ws;
static const char *camera = "";

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void say(struct viewer *v, const char *text) {
    unsigned char out[1400];
    size_t length = strlen(text), at = 0;
    if (length > 1300) exit(2);
    out[at++] = 0x81;
    if (length < 126) out[at++] = 0x80 | length;
    else { out[at++] = 0x80 | 126; out[at++] = length >> 8; out[at++] = length & 255; }
    memset(out + at, 0, 4);  // a mask of nothing
    at += 4;
    memcpy(out + at, text, length);
    if (send(v->fd, out, at + length, MSG_NOSIGNAL) < 0) broken++;
}

static void picture_done(struct viewer *v) {
    unsigned char *mark = memmem(v->prefix, v->prefix_length, "FPBENCH1", 8);
    if (mark == NULL || mark + 24 > v->prefix + v->prefix_length) return;
    uint64_t sequence, ns;
    memcpy(&sequence, mark + 8, 8);
    memcpy(&ns, mark + 16, 8);
    sequence = be64toh(sequence);
    ns = be64toh(ns);
    if (measuring) {
        struct ages *a = &ages[v->kind];
        if (a->count == a->room) {
            a->room = a->room ? 2 * a->room : 4096;
            a->ms = realloc(a->ms, a->room * sizeof *a->ms);
        }
        a->ms[a->count++] = now_s() * 1e3 - ns / 1e6;
        delivered[v->kind]++;
        if (v->last && sequence <= v->last) disorder++;
        if (v->last && sequence > v->last + 1) missed += sequence - v->last - 1;
    }
    v->last = sequence;
    if (is_ws && *camera) {
        char ack[200];
        snprintf(ack, sizeof ack, "{\"type\":\"ack\",\"camera_id\":\"%s\",\"sequence\":%llu}", camera,
                 (unsigned long long)sequence);
        say(v, ack);
    }
}

static void keep(struct viewer *v, const unsigned char *data, long length) {
    long room = PREFIX - v->prefix_length, taken = length < room ? length : room;
    if (taken > 0) { memcpy(v->prefix + v->prefix_length, data, taken); v->prefix_length += taken; }
}

// Multipart, or a WebSocket's frames: what is left of the transfer coding.
static void body(struct viewer *v, const unsigned char *data, long length) {
    while (length > 0) {
        if (v->state == PICTURE || v->state == WS_BODY) {
            long taken = length < v->left ? length : v->left;
            keep(v, data, taken);
            data += taken; length -= taken; v->left -= taken;
            if (v->left == 0) {
                if (v->state == PICTURE) { picture_done(v); v->state = PART_HEAD; v->line_length = 0; }
                else { if (v->op == 2) picture_done(v); v->state = WS_HEAD; v->ws_length = 0; }
            }
        } else if (v->state == WS_HEAD) {
            v->ws[v->ws_length++] = *data++; length--;
            int code = v->ws_length > 1 ? v->ws[1] & 127 : 0, needed = code == 127 ? 10 : code == 126 ? 4 : 2;
            if (v->ws_length < needed) continue;
            v->op = v->ws[0] & 15;
            v->left = code;
            if (code >= 126) { v->left = 0; for (int i = 2; i < needed; i++) v->left = v->left << 8 | v->ws[i]; }
            v->prefix_length = 0;
            v->state = WS_BODY;
            if (v->left == 0) { v->state = WS_HEAD; v->ws_length = 0; }
        } else {  // the head of a part
            if (v->line_length == (int)sizeof v->line - 1) { broken++; v->line_length = 0; }
            v->line[v->line_length++] = *data++; length--;
            if (v->line_length < 4 || memcmp(v->line + v->line_length - 4, "\r\n\r\n", 4)) continue;
            v->line[v->line_length] = 0;
            char *field = strcasestr(v->line, "content-length:");
            v->line_length = 0;
            if (field == NULL) { broken++; continue; }
            v->left = atol(field + 15);
            v->prefix_length = 0;
            v->state = PICTURE;
        }
    }
}

static void unchunk(struct viewer *v, const unsigned char *data, long length) {
    while (length > 0) {
        if (v->chunk_state == 0) {  // its size
            unsigned char c = *data++; length--;
            if (c == '\n') v->chunk_state = v->chunk_left ? 1 : 0;
            else if (c != '\r') v->chunk_left = v->chunk_left * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        } else if (v->chunk_state == 1) {
            long taken = length < v->chunk_left ? length : v->chunk_left;
            body(v, data, taken);
            data += taken; length -= taken; v->chunk_left -= taken;
            if (v->chunk_left == 0) v->chunk_state = 2;
        } else {  // the line end behind it
            if (*data++ == '\n') v->chunk_state = 0;
            length--;
        }
    }
}

static void head(struct viewer *v, const unsigned char *data, long length, const char *watch) {
    while (length > 0) {
        v->line[v->line_length++] = *data++; length--;
        if (v->line_length == (int)sizeof v->line - 1) exit(3);
        if (v->line_length < 4 || memcmp(v->line + v->line_length - 4, "\r\n\r\n", 4)) continue;
        v->line[v->line_length] = 0;
        if (strncmp(v->line + 9, is_ws ? "101" : "200", 3)) { fprintf(stderr, "%s\n", v->line); exit(4); }
        v->chunked = strcasestr(v->line, "transfer-encoding: chunked") != NULL;
        v->line_length = 0;
        v->state = is_ws ? WS_HEAD : PART_HEAD;
        if (is_ws) say(v, watch);
        if (v->chunked) unchunk(v, data, length);
        else body(v, data, length);
        return;
    }
}

static void connect_one(struct viewer *v, int port, const char *path, const char *headers) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(v->fd, (struct sockaddr *)&address, sizeof address)) { perror("connect"); exit(1); }
    char request[4096];
    const char *upgrade = is_ws ? "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                                  "Sec-WebSocket-Protocol: fluxprint.view.v1\r\n" : "";
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n", path, port,
                          headers, upgrade);
    if (send(v->fd, request, length, 0) != length) exit(1);
}

static int by_age(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_ages(const char *name, struct ages *a, long count) {
    if (a->count) qsort(a->ms, a->count, sizeof *a->ms, by_age);
    float p50 = a->count ? a->ms[a->count / 2] : 0, p99 = a->count ? a->ms[(size_t)(a->count * 0.99)] : 0;
    printf("\"%s\":{\"frames\":%ld,\"p50_ms\":%.2f,\"p99_ms\":%.2f},", name, count, p50, p99);
}

int main(int argc, char **argv) {
    if (argc != 13) return 2;
    is_ws = !strcmp(argv[1], "ws");
    int port = atoi(argv[2]), counts[3] = {atoi(argv[6]), atoi(argv[7]), atoi(argv[8])};
    const char *path = argv[3], *headers = argv[4], *watch = argv[5];
    double rate = atof(argv[9]), warm_s = atof(argv[10]), seconds = atof(argv[11]), per_s = atof(argv[12]);
    struct rlimit limit = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &limit);
    char *id = strstr(watch, "\"camera_id\":\"");
    if (id != NULL) { id = strdup(id + 13); *strchr(id, '"') = 0; camera = id; }

    int total = counts[0] + counts[1] + counts[2], poll = epoll_create1(0);
    struct viewer *viewers = calloc(total, sizeof *viewers);
    unsigned char *buffer = malloc(1 << 18);
    double opened = now_s(), start = 0, end = 0, last = opened, busy = 0;
    int here = 0;
    while (!end || now_s() < end) {
        for (; here < total && now_s() >= opened + here / per_s; here++) {
            struct viewer *v = &viewers[here];
            v->kind = here < counts[0] ? FAST : here < counts[0] + counts[1] ? SLOW : STUCK;
            connect_one(v, port, path, headers);
            // A stuck one reads the head of its answer, and what comes with it.
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = v};
            if (v->kind == FAST || is_ws) epoll_ctl(poll, EPOLL_CTL_ADD, v->fd, &event);
        }
        if (here == total && !start) start = now_s() + warm_s;
        if (start && !measuring && now_s() >= start) {
            measuring = 1;
            end = now_s() + seconds;
            busy = cpu_s();
            puts("measuring");
            fflush(stdout);
        }
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, here < total ? 1 : counts[1] ? 5 : 50);
        double now = now_s();
        for (int i = 0; counts[1] && i < here; i++) {
            struct viewer *v = &viewers[i];
            if (v->kind != SLOW || v->closed) continue;
            v->credit += (now - last) * rate;
            if (v->credit > rate / 20) v->credit = rate / 20;
            if (v->credit < 1) continue;
            long got = recv(v->fd, buffer, (size_t)v->credit, MSG_DONTWAIT);
            if (got == 0) { v->closed = 1; broken++; }
            if (got <= 0) continue;
            v->credit -= got;
            if (v->state == HEAD) head(v, buffer, got, watch);
            else if (v->chunked) unchunk(v, buffer, got);
            else body(v, buffer, got);
        }
        last = now;
        for (int i = 0; i < ready; i++) {
            struct viewer *v = events[i].data.ptr;
            if (v->kind == SLOW) { epoll_ctl(poll, EPOLL_CTL_DEL, v->fd, NULL); continue; }
            long got = recv(v->fd, buffer, 1 << 18, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) { broken++; v->closed = 1; epoll_ctl(poll, EPOLL_CTL_DEL, v->fd, NULL); continue; }
            if (v->state == HEAD) {
                head(v, buffer, got, watch);
                if (v->kind == STUCK) epoll_ctl(poll, EPOLL_CTL_DEL, v->fd, NULL);
            } else if (v->chunked) unchunk(v, buffer, got);
            else body(v, buffer, got);
        }
    }
    printf("{\"busy\":%.2f,", (cpu_s() - busy) / seconds);
    print_ages("fast", &ages[FAST], delivered[FAST]);
    print_ages("slow", &ages[SLOW], delivered[SLOW]);
    size_t shown = total <= FEW ? ages[FAST].count : 0;
    printf("\"ms\":[");
    for (size_t i = 0; i < shown; i++) printf("%s%.2f", i ? "," : "", ages[FAST].ms[i]);
    printf("],\"disorder\":%ld,\"missed\":%ld,\"broken\":%ld}\n", disorder, missed, broken);
    fflush(stdout);
    if (getppid() > 1) getchar();  // stay connected until whoever asked has looked at the server
    return 0;
}
